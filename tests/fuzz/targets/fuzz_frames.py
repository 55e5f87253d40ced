"""The frame reader: the same frames however the bytes are cut, and little held."""

from __future__ import annotations

from banger.wire.constants import MAX_PAYLOAD
from banger.wire.frames import HEADER_SIZE, Frame, FrameReader, encode_frame

SEEDS = [b"\x05" + encode_frame(1, 1, b"abc") + b"\x6e\xba" * 9 + encode_frame(2, 2), b"\x09\x01\x40payload"]


def run(data: bytes) -> None:
    """The first byte says where the bytes are cut."""
    step, stream = (data[0] % 40 + 1, data[1:]) if data else (1, b"")
    if stream[:1] == b"\1":  # one frame that is whole, so that the fuzzer need not find its check
        stream = encode_frame(stream[1] if len(stream) > 1 else 0, 7, stream[2:]) + stream
    whole, cut = FrameReader(), FrameReader()
    expected = list(whole.feed(stream))
    found: list[Frame] = []
    for begin in range(0, len(stream), step):
        found += cut.feed(stream[begin : begin + step])
        assert len(cut._buffer) <= HEADER_SIZE + MAX_PAYLOAD + step
    assert found == expected
    assert cut.skipped <= len(stream)
