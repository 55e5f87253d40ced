"""Any stream of frames, whole, mutated, out of order, into a connection that many wait on."""

from __future__ import annotations

import asyncio
from struct import pack
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger.wire.constants import MAX_DATA, WINDOW, Tag, Type
from banger.wire.fields import encode_fields
from banger.wire.frames import encode_frame
from tests.fuzz.waiters import ASKED, READ, UNREAD, Waiters
from tests.support.agent_pair import open_pair

CHANNELS = st.sampled_from([0, READ, UNREAD, *ASKED, 99, 0xFFFFFFFF])
EDGES = [0, 1, 65536, WINDOW - 1, WINDOW, WINDOW + 1, 1 << 31, 1 << 32, (1 << 63) - 1]
OFFSETS = st.sampled_from([*EDGES, 1 << 63, (1 << 64) - 1]) | st.integers(0, 300)
VALUES = st.sampled_from([pack("<q", n) for n in [*EDGES, -1]]) | st.binary(max_size=40) | st.text(max_size=9)
FIELDS = st.lists(st.tuples(st.sampled_from([*Tag]), VALUES), max_size=12).map(
    lambda fields: encode_fields([(tag, _raw(value)) for tag, value in fields])
)


def _raw(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "replace")


@st.composite
def data_frames(draw: st.DrawFn) -> bytes:
    size = draw(st.sampled_from([0, 1, 3, 100, MAX_DATA, MAX_DATA + 1]))
    payload = pack("<Q", draw(OFFSETS)) + bytes(size)
    return encode_frame(Type.DATA, draw(CHANNELS), payload, draw(st.integers(0, 3)))


@st.composite
def trickles(draw: st.DrawFn) -> bytes:
    """Output in order, piece by piece, within the window and beyond it."""
    channel, stream = draw(st.sampled_from([READ, UNREAD])), draw(st.integers(1, 2))
    size = draw(st.sampled_from([1, 7, 1000, MAX_DATA]))
    count = draw(st.integers(1, 3000 if size == 1 else 9))
    return b"".join(
        encode_frame(Type.DATA, channel, pack("<Q", i * size) + bytes(size), stream) for i in range(count)
    )


@st.composite
def control_frames(draw: st.DrawFn) -> bytes:
    type_ = draw(st.sampled_from([Type.CREDIT, Type.EOF]))
    payload = draw(OFFSETS.map(lambda offset: pack("<Q", offset)) | st.binary(max_size=12))
    return encode_frame(type_, draw(CHANNELS), payload, draw(st.integers(0, 3)))


@st.composite
def field_frames(draw: st.DrawFn) -> bytes:
    type_ = draw(
        st.sampled_from([Type.OK, Type.FAIL, Type.EVENT, Type.EXIT, Type.WELCOME]) | st.integers(0, 255)
    )
    payload = draw(FIELDS | st.binary(max_size=60))
    return encode_frame(type_, draw(CHANNELS), payload, draw(st.integers(0, 255)))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    frame = bytearray(draw(field_frames() | data_frames() | control_frames()))
    for _ in range(draw(st.integers(1, 3))):
        frame[draw(st.integers(0, min(len(frame), 64) - 1))] ^= draw(st.integers(1, 255))
    return bytes(frame[: draw(st.integers(1, len(frame)))])


STREAMS = st.lists(
    field_frames() | data_frames() | control_frames() | trickles() | mutated() | st.binary(max_size=100),
    min_size=1,
    max_size=12,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[*HealthCheck])
@given(STREAMS)
def test_nothing_but_errors_with_a_name_come_of_any_stream_and_everybody_stops_waiting(
    pieces: list[bytes],
) -> None:
    asyncio.run(_feed(pieces))


async def _feed(pieces: list[bytes]) -> None:
    bugs: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context))
    async with open_pair() as (connection, stranger):
        waiters = Waiters(connection)
        for piece in pieces:
            await stranger.send(piece)
            waiters.check_bounds()
        stranger.hang_up()
        async with asyncio.timeout(5):
            while connection.lost is None:
                await asyncio.sleep(0)
                waiters.check_bounds()
        await waiters.end()
    assert not bugs, bugs
