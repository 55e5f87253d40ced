"""The load of the benches counts what a stall costs: also for requests that were due while the server stood still."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from bench import openloop

pytestmark = pytest.mark.integration

RATE, SECONDS = 100, 2.0
STALL_S = 0.5


def test_a_stall_delays_all_requests_that_were_due_in_it(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            asked += 1
            if asked == RATE // 2:
                time.sleep(STALL_S)  # all connections wait
            status = b"500 No" if asked == 1 else b"200 OK"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\n\r\ntrue")
        writer.close()

    async def story() -> openloop.Load:
        async with await asyncio.start_unix_server(answer, path):
            return await asyncio.to_thread(openloop.Loader("/", RATE, SECONDS, path).result)

    load = asyncio.run(story())
    assert len(load.taken.values) == RATE * SECONDS and load.failed == 1
    stalled = [taken for taken in load.taken.values if taken > 50]
    assert max(stalled) > STALL_S * 900
    # Of the requests that were due in the stall, each waited for what was left of it.
    assert len(stalled) >= RATE * STALL_S * 0.7
