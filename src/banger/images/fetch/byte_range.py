"""A part of a file as a file of its own: a blob, or a member of an archive, read in place."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class ByteRange(io.RawIOBase):
    """Owns its descriptor and closes it. Reads with pread, so that several may share one open file. If the file is too
    short, reads end early: a reader who needs `size` bytes has to count."""

    def __init__(self, fd: int, offset: int = 0, size: int | None = None) -> None:
        super().__init__()
        self._fd = fd
        self.offset = offset
        self.size = os.fstat(fd).st_size - offset if size is None else size
        self._position = 0

    def fileno(self) -> int:
        return self._fd

    @property
    def path(self) -> Path:
        """A path by which this process can open the whole file while this is open, even if the file has lost its
        name."""
        return Path(f"/proc/self/fd/{self._fd}")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        room = min(len(view), max(0, self.size - self._position))
        got = os.preadv(self._fd, [view[:room]], self.offset + self._position) if room else 0
        self._position += got
        return got

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError("a negative position")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def part(self, offset: int, size: int) -> ByteRange:
        """A part of this range, with a descriptor of its own. It ends at the end of this range at the latest."""
        start = min(offset, self.size)
        return ByteRange(os.dup(self._fd), self.offset + start, min(size, self.size - start))

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()
