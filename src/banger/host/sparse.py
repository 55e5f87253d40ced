"""Sparse files: read, written and copied so that their holes cost neither disk space nor reads.

A hole reads as zeros and takes no space. Offsets and sizes are bytes. Walking the extents of a descriptor moves its
position; all other functions here read and write at offsets.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from banger.host.foreign import open_foreign
from banger.model.sizes import MIB

BLOCK = 4096  # the smallest hole there is: a page, and a block of most file systems
CHUNK = MIB
# Zeros to hash, compress or compare instead of reading a hole.
ZEROS = bytes(CHUNK)

FICLONE = 0x40049409  # linux/fs.h; in the fcntl module from Python 3.13 on
_COPY_BYTES = 64 * MIB  # of one system call: a signal or a debugger need not wait for gigabytes
_CANNOT_CLONE = {
    *(errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS),
    *(errno.EPERM, errno.EACCES, errno.EBADF, errno.ETXTBSY),
}
_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK}
_CANNOT_COPY_RANGE = {errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM}


def data_extents(fd: int) -> Iterator[tuple[int, int]]:
    """The (begin, end) of each stretch of a file with data, in order, none empty. A file system without holes shows one
    stretch."""
    size = os.fstat(fd).st_size
    position = 0
    while position < size:
        try:
            begin = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno == errno.ENXIO:  # only a hole follows
                return
            raise
        position = min(size, os.lseek(fd, begin, os.SEEK_HOLE))
        if begin >= position:
            return
        yield begin, position


def read_sparse(fd: int) -> Iterator[memoryview]:
    """The whole file in order, in pieces of at most `CHUNK` bytes. Holes are not read: their pieces are views of
    `ZEROS`. A piece is valid until the next one is requested. Raises OSError, also if the file becomes shorter
    meanwhile."""
    size = os.fstat(fd).st_size
    buffer, zeros = memoryview(bytearray(CHUNK)), memoryview(ZEROS)
    position = 0
    for begin, end in [*data_extents(fd), (size, size)]:
        for offset in range(position, begin, CHUNK):
            yield zeros[: begin - offset]
        for offset in range(begin, end, CHUNK):
            piece = buffer[: end - offset]
            _read_exactly(fd, piece, offset)
            yield piece
        position = end


def write_sparse(fd: int, data: bytes | bytearray, size: int, offset: int) -> None:
    """Write the first `size` bytes of `data` at `offset`, except blocks of zeros: the file must have a hole there
    already, as a file has whose size was just set. `offset` should be a multiple of `BLOCK`, or fewer holes stay.
    Raises OSError."""
    if size <= len(ZEROS) and data.startswith(ZEROS[:size]):
        return
    view = memoryview(data)
    for begin, end in _nonzero_runs(data, size):
        position = begin
        while position < end:
            position += os.pwrite(fd, view[position:end], offset + position)


def copy_sparse(source_fd: int, target_fd: int) -> bool:
    """Make the target equal to the source: the same size, data and holes. Nothing of its old contents stays. Returns
    whether both share their blocks.

    The file system shares the extents if it can (FICLONE); else the kernel copies the data; else this process does.
    Raises OSError: ENOSPC and EDQUOT if there is no space, EIO if the source becomes shorter meanwhile."""
    os.ftruncate(target_fd, 0)
    if _clone(source_fd, target_fd):
        return True
    os.ftruncate(target_fd, os.fstat(source_fd).st_size)
    copied_by_kernel = True
    for begin, end in data_extents(source_fd):
        position = _copy_range(source_fd, target_fd, begin, end) if copied_by_kernel else begin
        copied_by_kernel = position == end
        _copy_by_hand(source_fd, target_fd, position, end)
    return False


def copy_file(source: Path, target: Path) -> bool:
    """`copy_sparse` into a new file with mode 0600, which does not exist after a failure. Does not follow a link in the
    place of the source, and never waits for a pipe there. Raises OSError, and FileExistsError if the target exists."""
    with open(open_foreign(source), "rb", buffering=0) as original:
        copy_fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            return copy_sparse(original.fileno(), copy_fd)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        finally:
            os.close(copy_fd)


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link, or a copy if the paths are on two file systems. A target that exists already is fine. Raises
    OSError."""
    try:
        with contextlib.suppress(FileExistsError):
            os.link(source, target)
    except OSError as exc:
        if exc.errno not in _CANNOT_LINK:
            raise
        copy_file(source, target)


def _clone(source_fd: int, target_fd: int) -> bool:
    try:
        fcntl.ioctl(target_fd, FICLONE, source_fd)
    except OSError as exc:
        if exc.errno in _CANNOT_CLONE:
            return False
        raise
    return True


def _copy_range(source_fd: int, target_fd: int, begin: int, end: int) -> int:
    """How far the kernel copied by itself; `end` means all, or that the kernel does not copy between these two
    files."""
    position = begin
    while position < end:
        try:
            count = min(_COPY_BYTES, end - position)
            copied = os.copy_file_range(source_fd, target_fd, count, position, position)
        except OSError as exc:
            if exc.errno in _CANNOT_COPY_RANGE:
                return position
            raise
        if not copied:
            return position
        position += copied
    return position


def _copy_by_hand(source_fd: int, target_fd: int, begin: int, end: int) -> None:
    buffer = memoryview(bytearray(min(CHUNK, end - begin)))
    for offset in range(begin, end, CHUNK):
        piece = buffer[: end - offset]
        _read_exactly(source_fd, piece, offset)
        written = 0
        while written < len(piece):
            written += os.pwrite(target_fd, piece[written:], offset + written)


def _read_exactly(fd: int, piece: memoryview, offset: int) -> None:
    done = 0
    while done < len(piece):
        got = os.preadv(fd, [piece[done:]], offset + done)
        if not got:
            raise OSError(errno.EIO, "the file got shorter while it was read")
        done += got


def _nonzero_runs(data: bytes | bytearray, size: int) -> Iterator[tuple[int, int]]:
    """The (begin, end) of each stretch of the first `size` bytes that is not a block of zeros."""
    zeros = ZEROS[:BLOCK]
    begin = -1
    for block in range(0, size, BLOCK):
        end = min(size, block + BLOCK)
        # startswith compares in place; slices would be copied, memoryviews compared byte by byte
        if data.startswith(zeros[: end - block], block, end):
            if begin >= 0:
                yield begin, block
            begin = -1
        elif begin < 0:
            begin = block
    if begin >= 0:
        yield begin, size
