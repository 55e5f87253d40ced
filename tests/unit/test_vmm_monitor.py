"""A control socket behind which there is no honest QEMU."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from qemu.qmp import Message

from banger.errors import Error
from banger.vmm.qemu.monitor import Monitor, _Client

GREETING = {
    "QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}
}
EVENT = json.dumps({"event": "RESUME", "timestamp": {"seconds": 1, "microseconds": 1}}).encode() + b"\n"
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer_to(request: dict[str, object], result: object) -> bytes:
    echoed = {"id": request["id"]} if "id" in request else {}
    return json.dumps({"return": result, **echoed}).encode() + b"\n"


@contextlib.asynccontextmanager
async def open_monitor(path: Path, behave: Behaviour) -> AsyncIterator[Monitor]:
    """Greeted, and then left with what `behave` does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            writer.write(json.dumps(GREETING).encode() + b"\n")
            request = json.loads(await reader.read(65536))
            writer.write(answer_to(request, {}))
            await behave(reader, writer)
        writer.close()

    server = await asyncio.start_unix_server(serve, str(path))
    monitor = Monitor("m")
    try:
        await monitor.connect(str(path), 10)
        yield monitor
    finally:
        await monitor.close()
        server.close()


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write((EVENT + b'{"return": {}}\n') * 50)
        await writer.drain()


async def answer_amid_a_flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(EVENT * 2000)
    request = json.loads(await reader.read(65536))
    writer.write(answer_to(request, {"status": "running"}))
    await flood(reader, writer)


def test_events_without_end_leave_most_of_the_loops_time_to_others(tmp_path: Path) -> None:
    heard = 0

    async def scenario() -> tuple[float, float]:
        async with contextlib.AsyncExitStack() as stack:
            monitors = [
                await stack.enter_async_context(open_monitor(tmp_path / f"{number}", flood))
                for number in range(4)
            ]

            def count(message: object) -> bool:
                nonlocal heard
                heard += 1
                return False

            for monitor in monitors:
                monitor._events.event_filter = count
                monitor._events.names = set()
            begun = time.monotonic()
            await asyncio.sleep(1)
            return heard, time.monotonic() - begun

    count, took_s = asyncio.run(scenario())
    # 100 microseconds are what one is charged with at least, of a third and a sixth of the time.
    assert 0 < count < took_s * 0.7 / 0.0001


def test_an_answer_amid_events_is_heard(tmp_path: Path) -> None:
    async def scenario() -> object:
        async with open_monitor(tmp_path / "qmp", answer_amid_a_flood) as monitor:
            return await monitor.execute("query-status")

    assert asyncio.run(scenario()) == {"status": "running"}


@pytest.mark.parametrize(
    "piece", [b"x" * 65536, b"[" * 100_000 + b"\n", b"7\n", b'{"return": {}, "id": []}\n', b"\xff\n"]
)
def test_what_is_no_answer_ends_the_connection(tmp_path: Path, piece: bytes) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        while True:
            writer.write(piece)
            await writer.drain()

    async def scenario() -> None:
        async with open_monitor(tmp_path / "qmp", behave) as monitor:
            with pytest.raises(Error) as caught:
                await monitor.execute("query-status")
            assert caught.value.code == "vmm_failed"

    asyncio.run(scenario())


def test_a_message_of_qmp_is_not_written_out_for_a_log_that_nobody_keeps() -> None:
    class Costly(Message):
        def __str__(self) -> str:
            raise AssertionError("it was written out")

    async def work() -> None:
        client, message = _Client("dev"), Costly({"event": "x"})
        assert client._cb_inbound(message) is client._cb_outbound(message) is message

    asyncio.run(work())
