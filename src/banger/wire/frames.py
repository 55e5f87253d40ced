"""Frames of the agent protocol (docs/protocol.md, "Frame")."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from banger.wire.constants import MAGIC, MAX_PAYLOAD, Type

_HEADER = Struct("<HBBII")
_CHECK = Struct("<I")
HEADER_SIZE = 16
_MAGIC_BYTES = MAGIC.to_bytes(2, "little")
# What may begin a header: the magic, any byte, a length of at most 262144. A regular expression skips most garbage at
# the speed of C.
_CANDIDATE = re.compile(re.escape(_MAGIC_BYTES) + rb".{8}[\x00-\x04]\x00", re.DOTALL)


class Frame(NamedTuple):
    type: int
    flags: int
    channel: int
    payload: bytes


def encode_frame(type_: int, channel: int, payload: bytes = b"", flags: int = 0) -> bytes:
    """The bytes of a frame. Raises ValueError for a payload above the limit, which is a bug of this side, not of the
    peer."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a frame of {len(payload)} bytes is above {MAX_PAYLOAD}")
    head = _HEADER.pack(MAGIC, type_, flags, channel, len(payload))
    return b"".join((head, _CHECK.pack(zlib.crc32(head)), payload))


def encode_request(type_: int, channel: int, payload: bytes) -> bytes:
    """The bytes of a request: a frame, after frames of type MORE with what does not fit into one."""
    last = max(0, len(payload) - 1) // MAX_PAYLOAD * MAX_PAYLOAD
    pieces = [payload[at : at + MAX_PAYLOAD] for at in range(0, last, MAX_PAYLOAD)]
    frames = [encode_frame(Type.MORE, channel, piece) for piece in pieces]
    return b"".join((*frames, encode_frame(type_, channel, payload[last:])))


class FrameReader:
    """Bytes in, frames out. Bytes that begin no valid header are skipped and counted in `skipped`. The reader holds at
    most one frame (256 KiB) and one chunk."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.skipped = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes, in order."""
        self._buffer += data
        position = 0
        try:
            while True:
                header = self._next_header(position)
                if header is None:
                    position = self._skip_from(position)
                    if position + HEADER_SIZE > len(self._buffer):
                        return
                    continue
                type_, flags, channel, length = header
                end = position + HEADER_SIZE + length
                if end > len(self._buffer):
                    return
                payload = bytes(memoryview(self._buffer)[position + HEADER_SIZE : end])
                position = end
                yield Frame(type_, flags, channel, payload)
        finally:
            del self._buffer[:position]

    def _next_header(self, position: int) -> tuple[int, int, int, int] | None:
        """The header at `position`, or None if there is none, or none yet."""
        if position + HEADER_SIZE > len(self._buffer):
            return None
        magic, type_, flags, channel, length = _HEADER.unpack_from(self._buffer, position)
        if magic != MAGIC or length > MAX_PAYLOAD:
            return None
        (check,) = _CHECK.unpack_from(self._buffer, position + 12)
        if check != zlib.crc32(memoryview(self._buffer)[position : position + 12]):
            return None
        return type_, flags, channel, length

    def _skip_from(self, position: int) -> int:
        """The position where the next header may begin. A short end that could begin a header is kept."""
        if len(self._buffer) - position < HEADER_SIZE:
            return position
        candidate = _CANDIDATE.search(self._buffer, position + 1)
        # A header that begins behind `last` is incomplete.
        last = len(self._buffer) - HEADER_SIZE
        found = candidate.start() if candidate else last + 1
        if found > last:
            found = self._buffer.find(_MAGIC_BYTES[:1], last + 1)
            found = found if found >= 0 else len(self._buffer)
        self.skipped += found - position
        return found
