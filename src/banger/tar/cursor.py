"""A stream of chunks, as a reader of tar files needs it: small parts in one piece, large parts without a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from banger.tar.failure import Corrupt
from banger.tar.header import BLOCK

_EMPTY = memoryview(b"")


class Cursor:
    """A position in a stream of chunks. `view[at:end]` has the bytes that were fetched and not yet taken.

    The fields are public for the one loop that cannot afford calls: code that takes bytes from `view` must move `at`.
    Bytes taken from `view` are invalid after the next chunk is fetched."""

    __slots__ = ("_next_chunk", "at", "end", "view")

    def __init__(self, next_chunk: Callable[[], memoryview | None]) -> None:
        self._next_chunk = next_chunk
        self.view = _EMPTY
        self.at = 0
        self.end = 0

    def fetch(self) -> bool:
        """Replace the current chunk, which must be used up, by the next one. False at the end of the stream."""
        chunk = self._next_chunk()
        self.view = _EMPTY if chunk is None else chunk
        self.at = 0
        self.end = len(self.view)
        return chunk is not None

    def block(self) -> memoryview | None:
        """The next 512 bytes; None at the end of the stream. Raises `Corrupt` for an incomplete block."""
        at = self.at
        if self.end - at >= BLOCK:
            self.at = at + BLOCK
            return self.view[at : at + BLOCK]
        if self.at == self.end and not self.fetch():
            return None
        return memoryview(self.read(BLOCK))

    def read(self, count: int) -> bytes:
        """A copy of the next `count` bytes. Raises `Corrupt` if the stream ends before."""
        return b"".join(map(bytes, self.pieces(count)))

    def pieces(self, count: int) -> Iterator[memoryview]:
        """The next `count` bytes in pieces; each piece is valid until the next. Raises `Corrupt`."""
        while count:
            if self.at == self.end and not self.fetch():
                raise Corrupt("ends in the middle of an entry")
            at = self.at
            taken = min(count, self.end - at)
            self.at = at + taken
            count -= taken
            yield self.view[at : at + taken]

    def skip(self, count: int) -> None:
        """Raises `Corrupt` if the stream ends before."""
        for _ in self.pieces(count):
            pass

    def skip_padding(self, size: int) -> None:
        """Skip to the block after `size` bytes of data. The last block of an archive may be incomplete."""
        count = -size % BLOCK
        while count:
            if self.at == self.end and not self.fetch():
                return
            taken = min(count, self.end - self.at)
            self.at += taken
            count -= taken
