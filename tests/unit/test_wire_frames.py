"""The frame codec of docs/protocol.md: good bytes, malformed bytes, any bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.wire.constants import MAX_PAYLOAD, Tag, Type
from banger.wire.fields import Fields, Malformed, encode_fields
from banger.wire.frames import Frame, FrameReader, encode_frame

PING = encode_frame(Type.PING, 7)


def read(*chunks: bytes) -> list[Frame]:
    reader = FrameReader()
    return [frame for chunk in chunks for frame in reader.feed(chunk)]


def test_a_ping_looks_as_the_document_says() -> None:
    assert PING.hex() == "6eba20000700000000000000b7550a42"
    assert read(PING) == [Frame(Type.PING, 0, 7, b"")]


@pytest.mark.parametrize(
    "garbage",
    [b"\0" * 40, b"\x6e", b"\x6e\xba", b"\x6e\xba" * 20, PING[:15], PING[:8] + PING, b"\xff" * 7],
    ids=["zeros", "half-magic", "magic", "magics", "cut", "cut-then-whole", "ones"],
)
def test_a_frame_behind_garbage_is_found(garbage: bytes) -> None:
    found = read(garbage + PING + PING)
    assert found[-1] == Frame(Type.PING, 0, 7, b"")


def test_a_header_with_a_wrong_check_is_skipped() -> None:
    broken = bytearray(PING)
    broken[5] ^= 1
    assert read(bytes(broken) + PING) == [Frame(Type.PING, 0, 7, b"")]


def test_a_payload_above_the_limit_is_no_frame() -> None:
    with pytest.raises(ValueError, match="above"):
        encode_frame(Type.DATA, 1, bytes(MAX_PAYLOAD + 1))


@given(
    frames=st.lists(
        st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=300)), max_size=8
    ),
    sizes=st.lists(st.integers(1, 50), min_size=1),
)
def test_frames_survive_any_cutting(frames: list[tuple[int, int, bytes]], sizes: list[int]) -> None:
    stream = b"".join(encode_frame(t, c, p) for t, c, p in frames)
    reader, found, position, turn = FrameReader(), [], 0, 0
    while position < len(stream):
        size = sizes[turn % len(sizes)]
        found += list(reader.feed(stream[position : position + size]))
        position, turn = position + size, turn + 1
    assert [(f.type, f.channel, f.payload) for f in found] == frames
    assert reader.skipped == 0


@given(st.lists(st.binary(max_size=400), max_size=10))
def test_any_bytes_are_read_without_an_error_and_bounded(chunks: list[bytes]) -> None:
    reader = FrameReader()
    for chunk in chunks:
        list(reader.feed(chunk))
    assert len(reader._buffer) <= MAX_PAYLOAD + 16 + 400


@given(st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=100)), max_size=20))
def test_fields_come_back_as_they_were(fields: list[tuple[int, bytes]]) -> None:
    assert list(Fields(encode_fields(fields))) == fields


@given(st.binary(max_size=200))
def test_any_payload_is_fields_or_malformed(payload: bytes) -> None:
    try:
        fields = Fields(payload)
        fields.int_(Tag.PID)
        fields.str_(Tag.MESSAGE)
    except Malformed:
        pass


@pytest.mark.parametrize(
    "payload",
    ["01", "010004000000", "0100ffffffff00", "3a00030000000a0b0c"],
    ids=["cut-head", "cut-value", "huge", "short-int"],
)
def test_malformed_fields_are_refused(payload: str) -> None:
    with pytest.raises(Malformed):
        Fields(bytes.fromhex(payload)).int_(Tag.PID)


def test_negative_and_large_integers_and_odd_text_come_back() -> None:
    fields = Fields(encode_fields([(1, -5), (2, 2**62), (3, "a\udcffb")]))
    assert (fields.int_(1), fields.int_(2), fields.str_(3)) == (-5, 2**62, "a\udcffb")
