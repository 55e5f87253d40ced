"""What a hostile guest can do to the host's side of its connection: lose it, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger.agent.connection import AgentConnection
from banger.agent.events import EVENTS_A_MINUTE, AgentEvent, EventLimit
from banger.agent.guest_stats import read_guest_stats
from banger.agent.process import GuestProcess, Output, adopt_process, read_execs, start_process
from banger.errors import AgentError, Error
from banger.machines.ask import execs, files
from banger.machines.ask.execs import ExecLog
from banger.machines.ask.inspect import read_ports
from banger.model.command import Command
from banger.wire.constants import MAX_DATA, MAX_PAYLOAD, RESYNC_PAD, STDERR, STDOUT, WINDOW, Tag, Type
from banger.wire.fields import Fields, Malformed, Value, encode_fields
from banger.wire.frames import encode_frame
from tests.support.agent_pair import Stranger, data_frame, open_pair
from tests.support.sick import EVENTS, GARBAGE, TINY_FRAMES, welcome

CAT = Command(argv=["cat"], stdin=True)


async def lost_because(connection: AgentConnection) -> str:
    async with asyncio.timeout(5):
        while connection.lost is None:
            await asyncio.sleep(0.005)
    return connection.lost.message


async def start(connection: AgentConnection, stranger: Stranger) -> GuestProcess:
    answering = asyncio.create_task(stranger.answer(Type.EXEC))
    process = await start_process(connection, CAT)
    await answering
    return process


async def collect(process: GuestProcess) -> dict[int, bytes]:
    found = {STDOUT: b"", STDERR: b""}
    async for output in process.outputs():
        found[output.stream] += output.data
    return found


def test_events_without_end_are_some_lines_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[AgentEvent] = []

    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            connection.on_event = heard.append
            for _ in range(5):
                await stranger.send(EVENTS * 500)
            answering = asyncio.create_task(stranger.answer(Type.PING))
            await connection.request(Type.PING)
            await answering

    with caplog.at_level(logging.INFO, "banger.agent"):
        asyncio.run(scenario())
    assert len(heard) == EVENTS_A_MINUTE
    assert len(caplog.records) == EVENTS_A_MINUTE + 1
    assert not any("\n" in line or "\x1b" in line for line in caplog.messages)


@pytest.mark.parametrize("cut_off", [b"", encode_frame(Type.OK, 2, bytes(MAX_PAYLOAD))[:-MAX_PAYLOAD]])
def test_an_agent_that_was_restarted_ends_the_session_and_says_why(cut_off: bytes) -> None:
    """Wherever in a frame the one before was killed."""

    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            process = await start(connection, stranger)
            await stranger.send(cut_off + bytes(RESYNC_PAD) + encode_frame(Type.RESTARTED, 0))
            with pytest.raises(Error) as failed:
                await collect(process)
            assert failed.value.code == "agent_restarted"
            assert connection.lost is failed.value

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_after_a_minute_a_few_more_events_are_heard() -> None:
    clock = [0.0]
    limit = EventLimit("m", lambda: clock[0])
    assert sum(limit.admits() for _ in range(1000)) == EVENTS_A_MINUTE
    clock[0] = 60.0
    assert sum(limit.admits() for _ in range(1000)) == EVENTS_A_MINUTE


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (GARBAGE * 4, "are not frames"),
        (os.urandom(2 << 20), "are not frames"),
        (data_frame(1, STDOUT, 5, b"x"), "a gap"),
        (data_frame(1, 7, 0, b"x"), "for a stream that does not exist"),
        (data_frame(1, STDOUT, 0, bytes(MAX_DATA + 1)), "too long"),
        (encode_frame(Type.DATA, 1, b"123"), "for a stream that does not exist"),
        (encode_frame(Type.CREDIT, 1, b"123"), "a credit of a wrong size"),
        (encode_frame(Type.EXIT, 1, b"123"), "cut off"),
    ],
    ids=["magics", "noise", "gap", "stream", "long", "short", "credit", "exit"],
)
def test_who_breaks_the_protocol_loses_the_connection_and_all_waiters_hear_of_it(
    sent: bytes, why: str
) -> None:
    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            process = await start(connection, stranger)
            pinging = asyncio.create_task(connection.request(Type.PING))
            reading = asyncio.create_task(collect(process))
            await stranger.send(sent)
            assert why in await lost_because(connection)
            results = await asyncio.gather(pinging, reading, return_exceptions=True)
            assert [type(result) for result in results] == [AgentError, AgentError]

    asyncio.run(scenario())


@pytest.mark.parametrize("answer", ["version", "short version"])
def test_a_welcome_that_was_not_asked_for_is_refused(answer: str) -> None:
    async def scenario() -> None:
        async with open_pair(greeted=False) as (connection, stranger):
            greeting = asyncio.create_task(connection.hello(5, resync=True))
            nonce = Fields((await stranger.receive(Type.HELLO)).payload).bytes_(Tag.NONCE)
            short = encode_frame(Type.WELCOME, 0, encode_fields([(Tag.NONCE, nonce), (Tag.VERSION, b"1")]))
            await stranger.send(welcome(nonce, 99) if answer == "version" else short)
            with pytest.raises(Error, match="invalid data"):
                await greeting

    asyncio.run(scenario())


def test_who_only_greets_costs_each_request_its_time_out() -> None:
    async def scenario() -> None:
        async with open_pair() as (connection, _):
            with pytest.raises(Error) as caught:
                await connection.request(Type.PING, timeout_s=0.05)
            assert caught.value.code == "agent_silent"
            with pytest.raises(Error) as caught:
                await start_process(connection, CAT, timeout_s=0.05)
            assert caught.value.code == "agent_silent"
            assert connection._answers == {} and connection._channels == {}

    asyncio.run(scenario())


def test_who_never_reads_is_not_written_to_without_end() -> None:
    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            process = await start(connection, stranger)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await asyncio.gather(*(process.write(bytes(MAX_DATA)) for _ in range(100)))
            many = (connection.request(Type.PING, [(Tag.FILE, bytes(200_000))], 0.2) for _ in range(60))
            answers = await asyncio.gather(*many, return_exceptions=True)
            assert {getattr(answer, "code", "") for answer in answers} == {"agent_silent"}
            assert connection._transport is not None
            assert connection._transport.get_write_buffer_size() < 2 << 20
            for _ in range(200):
                connection.send(Type.CREDIT, process.channel, bytes(MAX_DATA))
            assert "does not read" in await lost_because(connection)

    asyncio.run(scenario())


@pytest.mark.parametrize("flood", [TINY_FRAMES, EVENTS * 1000], ids=["answers", "events"])
def test_a_flood_leaves_the_loop_to_others(flood: bytes) -> None:
    """Ticks of a millisecond, in the middle of four floods: how much processor time passes between two of them."""

    async def keep_sending(stranger: Stranger) -> None:
        while True:
            await stranger.send(flood)

    async def usual_gap_s(count: int) -> float:
        gaps = []
        for _ in range(count):
            begun = time.thread_time()  # a busy host delays us whatever we do
            await asyncio.sleep(0.001)
            gaps.append(time.thread_time() - begun)
        return sorted(gaps)[count // 2]

    async def scenario() -> None:
        async with open_pair() as one, open_pair() as two, open_pair() as three, open_pair() as four:
            floods = [asyncio.create_task(keep_sending(pair[1])) for pair in (one, two, three, four)]
            gap_s = await usual_gap_s(100)
            for task in floods:
                task.cancel()
            await asyncio.wait(floods)
            assert gap_s < 0.06

    asyncio.run(scenario())


def test_output_byte_by_byte_is_held_in_few_pieces_and_all_of_it_is_there() -> None:
    count = 20_000

    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            process = await start(connection, stranger)
            stream = b"".join(
                data_frame(process.channel, stream, offset, bytes([65 + offset % 26]))
                for offset in range(count)
                for stream in (STDOUT, STDERR)
            )
            sending = asyncio.create_task(stranger.send(stream))
            await sending
            while sum(process.received) < 2 * count:
                await asyncio.sleep(0.005)
            assert len(process._pending) <= 4097
            await stranger.send(encode_frame(Type.EXIT, process.channel))
            expected = bytes(65 + offset % 26 for offset in range(count))
            assert await collect(process) == {STDOUT: expected, STDERR: expected}

    asyncio.run(scenario())


def test_256_commands_whose_output_nobody_reads_are_held_to_their_windows() -> None:
    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            processes = [await start(connection, stranger) for _ in range(256)]
            for process in processes:
                await stranger.send(data_frame(process.channel, STDOUT, 0, bytes(MAX_DATA)))
            held = sum(len(output.data) for process in processes for output in process._pending)
            assert held <= 256 * MAX_DATA
            first = processes[0]
            for piece in range(1, WINDOW // MAX_DATA + 2):
                await stranger.send(data_frame(first.channel, STDOUT, piece * MAX_DATA, bytes(MAX_DATA)))
            assert "than the window allows" in await lost_because(connection)

    asyncio.run(scenario())


def test_nothing_is_held_of_what_comes_after_an_exit() -> None:
    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            process = await start(connection, stranger)
            late = data_frame(process.channel, STDOUT, 0, b"late") + encode_frame(Type.EXIT, process.channel)
            await stranger.send(encode_frame(Type.EXIT, process.channel) + late)
            assert await collect(process) == {STDOUT: b"", STDERR: b""}

    asyncio.run(scenario())


def test_a_list_of_fields_is_read_only_when_somebody_waits_for_it() -> None:
    """32 MiB of the slowest answers there are."""
    slow = encode_frame(Type.OK, 2, b"\1\0\0\0\0\0" * 16000)

    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            begun = time.process_time()
            for _ in range(11):
                Fields(slow[-96000:])
            reading_s = 32 * (time.process_time() - begun)
            begun = time.process_time()
            for _ in range(32):
                await stranger.send(slow * 11)
            answering = asyncio.create_task(stranger.answer(Type.PING))
            await connection.request(Type.PING)
            await answering
            assert time.process_time() - begun < 0.7 * reading_s

    asyncio.run(scenario())


def entry(channel: int = 1, offset: int = 0, label: bytes = b"x") -> list[tuple[int, int | bytes]]:
    return [
        (Tag.EXEC, channel),
        (Tag.PID, 1),
        (Tag.RUNNING, 1),
        *[(Tag.OFFSET, offset)] * 3,
        (Tag.LABEL, label),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        entry(0),
        entry(-1),
        entry(1 << 32),
        entry(1, -1),
        [*entry(3), *entry(3)],
        [field for channel in range(1, 2001) for field in entry(channel)],
        [(Tag.EXEC, b"short")],
    ],
    ids=["channel 0", "negative channel", "large channel", "negative offset", "twice", "too many", "short"],
)
def test_execs_that_cannot_be_are_refused(fields: list[tuple[int, int | bytes]]) -> None:
    with pytest.raises(Malformed):
        read_execs(Fields(encode_fields(fields)))


def test_a_label_of_any_bytes_can_be_shown() -> None:
    (known,) = read_execs(Fields(encode_fields(entry(label=b"a\0\xff\x1b[1m\n\xed\xa0\x80" + b"y" * 300))))
    assert known.label.isprintable() and len(known.label) <= 256
    known.label.encode()


@pytest.mark.parametrize("seen", [(1 << 64) - 1, WINDOW + 1001, 0, 999], ids=str)
def test_a_position_that_cannot_be_gives_way_to_the_agents(seen: int) -> None:
    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            (known,) = read_execs(Fields(encode_fields(entry(offset=1000))))
            answering = asyncio.create_task(stranger.answer(Type.ATTACH))
            process = await adopt_process(connection, known, (seen, 1010))
            await answering
            assert process.received == (1000, 1010)

    asyncio.run(scenario())


def test_numbers_of_a_guest_are_numbers_that_json_can_hold() -> None:
    answer: list[tuple[int, Value]] = [
        (Tag.FILE, b"meminfo\0MemTotal: 999999999999999 kB\nMemAvailable: 99999999999999999999 kB"),
        (Tag.FILE, b"uptime\0inf 1"),
        (Tag.FILE, b"loadavg\0nan 1"),
        *[(Tag.BLOCKS, number) for number in ((1 << 63) - 1, (1 << 63) - 1, -5, 1 << 62, 0, 0)],
    ]
    stats = read_guest_stats(Fields(encode_fields(answer)))
    assert stats.uptime_s == stats.load_1min == 0
    assert stats.root_total_bytes == stats.root_available_bytes == (1 << 63) - 1
    assert stats.memory_available_bytes == 0


def test_ports_that_make_no_sense_are_left_out() -> None:
    lines = ["tcp 7f000001 80 1 a\udcff\0", "tcp 7f000001 \u00b2 1 a", f"tcp 7f000001 1 {'9' * 5000} a"]
    raw = [(Tag.PORT, line.encode("utf-8", "surrogateescape")) for line in [*lines, "tcp 7f 22 1 a"]]
    (port,) = read_ports(Fields(encode_fields(raw)))
    assert (port.port, port.process) == (80, "a\ufffd?")


@pytest.mark.parametrize("step", ["reading", "writing"])
def test_files_of_a_guest_that_stands_still_end_in_a_time_out(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_STALLED_S", 0.05)
    monkeypatch.setattr(files, "_FINISH_S", 0.05)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(MAX_DATA)

    async def read(live: Any) -> None:
        async for _ in files.read_tar(live, "/"):
            pass

    async def write(live: Any) -> None:
        await files.write_tar(live, "/", endless())

    async def scenario(copy: Callable[[Any], Awaitable[None]]) -> None:
        async with open_pair() as (connection, stranger):
            copying = asyncio.ensure_future(copy(SimpleNamespace(agent=lambda: connection)))
            await stranger.answer(Type.EXEC)
            with pytest.raises(Error) as caught:
                await copying
            assert caught.value.code == "timeout"
            assert connection._channels == {}

    asyncio.run(scenario(read if step == "reading" else write))


def test_a_log_that_cannot_turn_over_goes_on_in_its_own_file_and_complains_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(execs, "LOG_LIMIT_BYTES", 10)
    log = ExecLog(tmp_path, resume=False)
    log.write(Output(STDOUT, b"0123456789"))
    for path in tmp_path.iterdir():
        path.unlink()
    tmp_path.rmdir()
    for _ in range(50):
        log.write(Output(STDERR, b"x"))
    assert len(caplog.records) == 1
    assert log.positions == (10, 50)
    log.close()
