"""Blocks in the order they come: contents go to the disk once, through one buffer, in long sequential writes.

`BlockStream` hands out every block from the first head's end on, leaving out the other heads. It never reads and
never goes back.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from banger.errors import Error
from banger.images.ext4.extents import pack_extent, pack_run
from banger.images.ext4.layout import BLOCK, BLOCK_SHIFT, Heads

_BUFFER_BYTES = 1 << 20
# Pieces of this size are not worth copying: the buffer is written out and they follow from where they are.
_DIRECT_BYTES = 256 << 10
_ZEROS = memoryview(bytes(BLOCK))
# The last logical block has number 2³² - 2.
_FILE_MAX_BYTES = ((1 << 32) - 1) * BLOCK


class BlockStream:
    """One per disk, from the first content to the last directory. Does not own `fd`.

    All positions are bytes. `_base` is where the buffer's first byte goes, `_fill` what the buffer holds, `_room`
    what it may hold before it must be written: its length, or less when a head is near. Between files `_base` and
    `_fill` are multiples of the block.
    """

    def __init__(self, fd: int, heads: Heads) -> None:
        self._fd = fd
        self._heads = heads
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._fill = 0
        self._open_area(heads.skip(0))
        self._in_file = False
        self._logical = 0
        self._run_logical = 0
        self._run_physical = 0
        self._extents: list[bytes] = []

    @property
    def next_block(self) -> int:
        """The first block that nothing was given yet."""
        return self._heads.skip((self._base + self._fill) >> BLOCK_SHIFT)

    def add(self, data: bytes | bytearray | memoryview) -> bytes:
        """A whole file that is in memory → its extents."""
        size = len(data)
        start = self._fill
        end = (start + size + BLOCK - 1) & -BLOCK
        if end > self._room or not size or self._in_file:
            return self._add_slowly(data)
        self._buffer[start : start + size] = data
        padding = end - start - size
        if padding:
            self._buffer[start + size : end] = _ZEROS[:padding]
        self._fill = end
        return pack_extent(0, (end - start) >> BLOCK_SHIFT, (self._base + start) >> BLOCK_SHIFT)

    def add_block(self, block: bytes) -> int:
        """One block → where it is."""
        self.add(block)
        return (self._base + self._fill - BLOCK) >> BLOCK_SHIFT

    def _add_slowly(self, data: bytes | bytearray | memoryview) -> bytes:
        self.begin()
        self.append(data)
        return self.end()[1]

    def begin(self) -> None:
        if self._in_file:
            raise ValueError("a file is being written already")
        self._in_file = True
        self._logical = 0
        self._extents = []
        self._open_run()

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """More of the file begun. `data` may be reused as soon as this returns."""
        view = memoryview(data)
        while view:
            taken = self._take(view)
            self._logical += taken
            view = view[taken:]

    def skip(self, length: int) -> None:
        """A hole of `length` bytes. What shares a block with data becomes zeros, the rest takes no space."""
        lead = min(length, -self._logical % BLOCK)
        self.append(_ZEROS[:lead])
        whole, rest = divmod(length - lead, BLOCK)
        if whole:
            self._close_run()
            self._logical += whole * BLOCK
            self._open_run()
        self.append(_ZEROS[:rest])

    def end(self) -> tuple[int, bytes]:
        """(size, extents) of the file begun."""
        size = self._logical
        self.append(_ZEROS[: -size % BLOCK])
        self._close_run()
        self._in_file = False
        if self._base % BLOCK:
            self.flush()
        return size, b"".join(self._extents)

    def flush(self) -> None:
        """Write what the buffer holds."""
        if self._fill:
            write_at(self._fd, self._buffer[: self._fill], self._base)
            self._open_at(self._base + self._fill)

    def _take(self, view: memoryview) -> int:
        """Put some of `view` where it goes; how many bytes of it."""
        room = self._room - self._fill
        if len(view) >= _DIRECT_BYTES:
            self.flush()
            room = self._limit - self._base
            if room:
                taken = min(room, len(view))
                write_at(self._fd, view[:taken], self._base)
                self._open_at(self._base + taken)
                return taken
        if not room:
            self._make_room()
            return 0
        taken = min(room, len(view))
        self._buffer[self._fill : self._fill + taken] = view[:taken]
        self._fill += taken
        return taken

    def _make_room(self) -> None:
        self.flush()
        if self._base == self._limit:
            self._close_run()
            self._open_area(self._heads.skip(self._base >> BLOCK_SHIFT))
            self._open_run()

    def _open_area(self, block: int) -> None:
        """Go on at `block`, up to the next head."""
        self._limit = self._heads.next_start(block) << BLOCK_SHIFT
        self._open_at(block << BLOCK_SHIFT)

    def _open_at(self, position: int) -> None:
        self._base = position
        self._fill = 0
        self._room = min(_BUFFER_BYTES, self._limit - position)

    def _open_run(self) -> None:
        self._run_logical = self._logical >> BLOCK_SHIFT
        self._run_physical = (self._base + self._fill) >> BLOCK_SHIFT

    def _close_run(self) -> None:
        if self._logical > _FILE_MAX_BYTES:
            raise Error("image_build_failed", "a file is larger than ext4 can hold (16 TiB)")
        count = ((self._base + self._fill) >> BLOCK_SHIFT) - self._run_physical
        self._extents.append(pack_run(self._run_logical, self._run_physical, count))


def write_at(fd: int, data: bytes | bytearray | memoryview, position: int) -> None:
    """All of `data`, `position` in bytes. Raises `insufficient_disk`."""
    view = memoryview(data)
    with _full_disks_named():
        while view:
            written = os.pwrite(fd, view, position)
            view, position = view[written:], position + written


def set_size(fd: int, size_bytes: int) -> None:
    """Raises `insufficient_disk` where no file may be that large."""
    with _full_disks_named():
        os.ftruncate(fd, size_bytes)


@contextmanager
def _full_disks_named() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise Error(
            "insufficient_disk", f"the root disk cannot be written: {exc.strerror}", "make room there"
        ) from exc
