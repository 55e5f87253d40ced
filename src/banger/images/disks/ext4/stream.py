"""Blocks in the order of arrival: contents go to the disk once, through one buffer, in long sequential writes.

`BlockStream` gives out every block after the first head, except the other heads. It never goes back, and reads only
data that is to be copied. A block of a file that is all zeros becomes a hole: layers can contain gigabytes of zeros in
a few bytes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby

from banger.errors import Error
from banger.host.fs import Spare
from banger.images.disks.ext4.extents import pack_extent, pack_run, unpack_extents
from banger.images.disks.ext4.layout import BLOCK, BLOCK_SHIFT, Heads

_BUFFER_BYTES = 1 << 20
# Pieces of at least this size are not copied: the buffer is written, then the piece from its own place.
_DIRECT_BYTES = 256 << 10
_ZEROS = bytes(BLOCK)
# The last logical block has number 2³² - 2.
_FILE_MAX_BYTES = ((1 << 32) - 1) * BLOCK


class BlockStream:
    """One per disk, from the first content to the last directory. Does not own `fd`.

    All positions are bytes. `_base` is the place of the buffer's first byte, `_fill` the length of the data in the
    buffer, `_room` the length at which the buffer must be written: its size, or less if a head is near. Between files
    `_base` and `_fill` are multiples of the block.
    """

    def __init__(self, fd: int, heads: Heads, spare: Spare) -> None:
        self._fd = fd
        self._heads = heads
        self._spare = spare
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._start()

    def restart(self) -> None:
        """Forget everything that was written; the next content comes first."""
        set_size(self._fd, 0)
        self._start()

    def _start(self) -> None:
        self._fill = 0
        self._open_area(self._heads.skip(0))
        self._in_file = False
        self._logical = 0
        self._run_logical = 0
        self._run_physical = 0
        self._extents = bytearray()

    @property
    def next_block(self) -> int:
        """The first block without data."""
        return self._heads.skip((self._base + self._fill) >> BLOCK_SHIFT)

    def add(self, data: bytes | bytearray | memoryview) -> bytes:
        """Write a file that is in memory as a whole. Returns its extents."""
        size = len(data)
        start = self._fill
        end = (start + size + BLOCK - 1) & -BLOCK
        if end > self._room or not size or self._in_file or _may_have_zeros(data, size):
            return self._add_slowly(data)
        self._buffer[start : start + size] = data
        padding = end - start - size
        if padding:
            self._buffer[start + size : end] = _ZEROS[:padding]
        self._fill = end
        return pack_extent(0, (end - start) >> BLOCK_SHIFT, (self._base + start) >> BLOCK_SHIFT)

    def add_block(self, block: bytes) -> int:
        """Write one block, which is not all zeros. Returns its number."""
        if self._fill == self._room:
            self._make_room()
        at = self._base + self._fill
        self._put(memoryview(block))
        return at >> BLOCK_SHIFT

    def _add_slowly(self, data: bytes | bytearray | memoryview) -> bytes:
        self.begin()
        self.append(data)
        return self.end()[1]

    def begin(self) -> None:
        if self._in_file:
            raise ValueError("a file is being written already")
        self._in_file = True
        self._logical = 0
        self._extents = bytearray()
        self._open_run()

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Add data to the current file. The caller may reuse `data` after this returns."""
        view = memoryview(data)
        lead = min(len(view), -self._logical % BLOCK)
        if lead:
            self._put(view[:lead])
            if not self._logical % BLOCK:
                self._drop_zeros(BLOCK)
        whole = lead + (len(view) - lead) // BLOCK * BLOCK
        for begin, end, empty in _runs(view[lead:whole]):
            if empty:
                self._skip_blocks(end - begin)
            else:
                self._put(view[lead + begin : lead + end])
        self._put(view[whole:])

    def skip(self, length: int) -> None:
        """Add a hole of `length` bytes. Where it shares a block with data, zeros are written; the rest takes no
        space."""
        lead = min(length, -self._logical % BLOCK)
        if lead:
            self.append(_ZEROS[:lead])
        rest = (length - lead) % BLOCK
        if length - lead >= BLOCK:
            self._skip_blocks(length - lead - rest)
        self.append(_ZEROS[:rest])

    def end(self) -> tuple[int, bytes]:
        """End the current file. Returns its size and extents."""
        size = self._logical
        rest = size % BLOCK
        if rest and not self._drop_zeros(rest):
            self._put(memoryview(_ZEROS)[rest:])
        self._close_run()
        self._in_file = False
        return size, bytes(self._extents)

    def add_copy(self, size: int, extents: bytes) -> bytes:
        """Write a file with the data of an earlier one. Returns its extents. This alone reads from the disk."""
        self.flush()
        self.begin()
        for logical, physical, count in unpack_extents(extents):
            self.skip((logical << BLOCK_SHIFT) - self._logical)
            at, left = physical << BLOCK_SHIFT, min(count << BLOCK_SHIFT, size - self._logical)
            while left:
                piece = os.pread(self._fd, min(left, _BUFFER_BYTES), at)
                self.append(piece)
                at, left = at + len(piece), left - len(piece)
        self.skip(size - self._logical)
        return self.end()[1]

    def flush(self) -> None:
        """Write what the buffer holds."""
        if self._fill:
            self._write(self._buffer[: self._fill])

    def _write(self, data: memoryview) -> None:
        self._spare.spend(len(data))
        write_at(self._fd, data, self._base)
        self._open_at(self._base + len(data))

    def _put(self, view: memoryview) -> None:
        """Put data into place: whole blocks, or a part of one block."""
        while view:
            taken = self._take(view)
            self._logical += taken
            view = view[taken:]

    def _take(self, view: memoryview) -> int:
        """Put a part of `view` into place. Returns how many bytes."""
        if len(view) >= _DIRECT_BYTES:
            self.flush()
            taken = min(self._limit - self._base, len(view))
            if taken:
                self._write(view[:taken])
                return taken
        room = self._room - self._fill
        if not room:
            self._make_room()
            return 0
        taken = min(room, len(view))
        self._buffer[self._fill : self._fill + taken] = view[:taken]
        self._fill += taken
        return taken

    def _drop_zeros(self, length: int) -> bool:
        """Turn the last `length` bytes, which are the beginning of a block or a whole block, into a hole if they are
        zeros. They are still in the buffer: a block arrives there as a whole, or in short pieces."""
        start = self._fill - length
        if bytes(self._buffer[start : self._fill]) != _ZEROS[:length]:
            return False
        self._fill = start
        self._logical -= length
        self._skip_blocks(BLOCK)
        return True

    def _skip_blocks(self, length: int) -> None:
        self._close_run()
        self._logical += length
        self._open_run()

    def _make_room(self) -> None:
        self.flush()
        if self._base == self._limit:
            self._close_run()
            self._open_area(self._heads.skip(self._base >> BLOCK_SHIFT))
            self._open_run()

    def _open_area(self, block: int) -> None:
        """Continue at `block`, up to the next head."""
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
        self._extents += pack_run(self._run_logical, self._run_physical, count)


def _may_have_zeros(data: bytes | bytearray | memoryview, size: int) -> bool:
    """Whether a block of the data begins with a zero; few blocks do."""
    return not data[0] if size <= BLOCK else 0 in bytes(data[::BLOCK])


def _runs(view: memoryview) -> Iterator[tuple[int, int, bool]]:
    """The (begin, end, whether it is all zeros) of stretches of whole blocks."""
    firsts = bytes(view[::BLOCK])
    if 0 not in firsts:
        yield 0, len(view), False
        return
    empty = [
        not first and bytes(view[at * BLOCK : (at + 1) * BLOCK]) == _ZEROS for at, first in enumerate(firsts)
    ]
    at = 0
    for is_empty, blocks in groupby(empty):
        begin, at = at, at + BLOCK * len(list(blocks))
        yield begin, at, is_empty


def write_at(fd: int, data: bytes | bytearray | memoryview, position: int) -> None:
    """Write all of `data` at `position`, in bytes. Raises `insufficient_disk`."""
    view = memoryview(data)
    with _full_disks_named():
        while view:
            written = os.pwrite(fd, view, position)
            view, position = view[written:], position + written


def set_size(fd: int, size_bytes: int) -> None:
    """Raises `insufficient_disk` if no file of the file system may be that large."""
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
            "insufficient_disk", f"cannot write the root disk: {exc.strerror}", "free space there"
        ) from exc
