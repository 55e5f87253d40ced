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
# What can be a header: magic, anything, a length of at most 262144. Most garbage is passed over at the speed of C.
_CANDIDATE = re.compile(re.escape(_MAGIC_BYTES) + rb".{8}[\x00-\x04]\x00", re.DOTALL)


class Frame(NamedTuple):
    type: int
    flags: int
    channel: int
    payload: bytes


def encode_frame(type_: int, channel: int, payload: bytes = b"", flags: int = 0) -> bytes:
    """Raises ValueError for a payload above the limit: that is our bug, not the peer's."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a frame of {len(payload)} bytes is above {MAX_PAYLOAD}")
    head = _HEADER.pack(MAGIC, type_, flags, channel, len(payload))
    return b"".join((head, _CHECK.pack(zlib.crc32(head)), payload))


def encode_request(type_: int, channel: int, payload: bytes) -> bytes:
    """A frame, with frames MORE before it for what does not fit into one."""
    last = max(0, len(payload) - 1) // MAX_PAYLOAD * MAX_PAYLOAD
    pieces = [payload[at : at + MAX_PAYLOAD] for at in range(0, last, MAX_PAYLOAD)]
    frames = [encode_frame(Type.MORE, channel, piece) for piece in pieces]
    return b"".join((*frames, encode_frame(type_, channel, payload[last:])))


class FrameReader:
    """Bytes in, frames out. Bytes that begin no valid header are skipped and counted in
    `skipped`; at most one frame (256 KiB) and one chunk are held."""

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
        """The header at `position`, or None when there is none (yet)."""
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
        """Where the next header may begin. A short tail that could be one is kept."""
        if len(self._buffer) - position < HEADER_SIZE:
            return position
        candidate = _CANDIDATE.search(self._buffer, position + 1)
        # One that begins behind `last` is not whole yet.
        last = len(self._buffer) - HEADER_SIZE
        found = candidate.start() if candidate else last + 1
        if found > last:
            found = self._buffer.find(_MAGIC_BYTES[:1], last + 1)
            found = found if found >= 0 else len(self._buffer)
        self.skipped += found - position
        return found
