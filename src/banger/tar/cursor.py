"""Reading a layer's stream as a tar reader wants it: small things in one piece, large ones without a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from banger.tar.failure import Corrupt
from banger.tar.header import BLOCK

_EMPTY = memoryview(b"")


class Cursor:
    """A position in a stream of chunks. `view[at:end]` is what is at hand and not yet taken.

    Fields are open for the one loop that cannot afford calls; whoever takes from `view` moves `at`. Everything
    taken from `view` ends when the next chunk is fetched."""

    __slots__ = ("_next_chunk", "at", "end", "view")

    def __init__(self, next_chunk: Callable[[], memoryview | None]) -> None:
        self._next_chunk = next_chunk
        self.view = _EMPTY
        self.at = 0
        self.end = 0

    def fetch(self) -> bool:
        """Replace what is at hand, which must be used up, by the next chunk; False at the end of the stream."""
        chunk = self._next_chunk()
        self.view = _EMPTY if chunk is None else chunk
        self.at = 0
        self.end = len(self.view)
        return chunk is not None

    def block(self) -> memoryview | None:
        """The next 512 bytes, None at the end of the stream. Raises `Corrupt` for a part of a block."""
        at = self.at
        if self.end - at >= BLOCK:
            self.at = at + BLOCK
            return self.view[at : at + BLOCK]
        if self.at == self.end and not self.fetch():
            return None
        return memoryview(self.read(BLOCK))

    def read(self, count: int) -> bytes:
        """`count` bytes, copied. Raises `Corrupt` when the stream ends before."""
        return b"".join(map(bytes, self.pieces(count)))

    def pieces(self, count: int) -> Iterator[memoryview]:
        """`count` bytes as they come; each piece is valid until the next. Raises `Corrupt`."""
        while count:
            if self.at == self.end and not self.fetch():
                raise Corrupt("ends in the middle of an entry")
            at = self.at
            taken = min(count, self.end - at)
            self.at = at + taken
            count -= taken
            yield self.view[at : at + taken]

    def skip(self, count: int) -> None:
        """Raises `Corrupt` when the stream ends before."""
        for _ in self.pieces(count):
            pass

    def skip_padding(self, size: int) -> None:
        """Go to the next block after `size` bytes of data. The last block of an archive may be short."""
        count = -size % BLOCK
        while count:
            if self.at == self.end and not self.fetch():
                return
            taken = min(count, self.end - self.at)
            self.at += taken
            count -= taken
