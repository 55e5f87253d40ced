"""A connection with everybody waiting on it: its waiters end, what it holds is bounded, and it raises nothing."""

from __future__ import annotations

import asyncio
import logging
from struct import pack

from banger.wire.constants import Type
from banger.wire.frames import encode_frame
from tests.fuzz.memory_pair import open_in_memory
from tests.fuzz.targets import fuzz_fields
from tests.fuzz.waiters import Waiters

SEEDS = [
    bytes([Type.DATA, 1, 1, 9]) + bytes(8) + b"x" + bytes([Type.EXIT, 0, 1, 0]),
    bytes([Type.CREDIT, 0, 3, 8]) + pack("<Q", 4096) + bytes([Type.OK, 0, 10, 0]),
    *(bytes([Type.OK, 0, 2, len(seed)]) + seed for seed in fuzz_fields.SEEDS),
]
logging.getLogger("banger.agent").setLevel(logging.CRITICAL)
_runner = asyncio.Runner()


def run(data: bytes) -> None:
    _runner.run(_feed(_frames(data)))


def _frames(data: bytes) -> bytes:
    """Headers that are in order; type, stream, channel and length are the fuzzer's, and so are odd bytes between."""
    stream = b""
    while len(data) >= 4:
        type_, flags, channel, size = data[0], data[1] & 3, data[2] & 15, data[3]
        payload, data = data[4 : 4 + size], data[4 + size :]
        stream += encode_frame(type_, channel, payload, flags)
    return stream + data


async def _feed(stream: bytes) -> None:
    connection, transport = await open_in_memory()
    waiters = Waiters(connection)
    await asyncio.sleep(0)
    for begin in range(0, len(stream), 997):
        if not transport.reads or transport.aborted:
            break
        connection.data_received(stream[begin : begin + 997])
        waiters.check_bounds()
        await asyncio.sleep(0)
    await waiters.end()
