"""Sparse files: read, written and copied so that their holes cost neither disk nor reading.

A hole reads as zeros and takes no room. Offsets and sizes are bytes. Whoever walks a descriptor's extents moves its
position; everything else here reads and writes at offsets.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from banger.model.sizes import MIB

BLOCK = 4096  # the smallest hole there is: a page, and a block of most file systems
CHUNK = MIB
# Zeros for everybody who has to hash, compress or compare a hole.
ZEROS = bytes(CHUNK)

FICLONE = 0x40049409  # linux/fs.h; in the fcntl module from Python 3.13 on
_COPY_BYTES = 64 * MIB  # of one system call, so that a signal or a debugger need not wait for gigabytes
_CANNOT_CLONE = {
    *(errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS),
    *(errno.EPERM, errno.EACCES, errno.EBADF, errno.ETXTBSY),
}
_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK}
_CANNOT_COPY_RANGE = {errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM}


def data_extents(fd: int) -> Iterator[tuple[int, int]]:
    """Where a file has data: (begin, end), in order, none empty. A file system that knows no holes has one extent."""
    size = os.fstat(fd).st_size
    position = 0
    while position < size:
        try:
            begin = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno == errno.ENXIO:  # nothing but a hole from here on
                return
            raise
        position = min(size, os.lseek(fd, begin, os.SEEK_HOLE))
        if begin >= position:
            return
        yield begin, position


def read_sparse(fd: int) -> Iterator[memoryview]:
    """The whole file in order, in pieces of at most `CHUNK`. Holes come from `ZEROS` and are not read. A piece is good
    until the next is asked for. Raises OSError, also when the file gets shorter meanwhile."""
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
    """Write the first `size` bytes of `data` at `offset`, but no block of zeros: there must be a hole already, as in a
    file that was just given its size. Holes come out best when `offset` is a multiple of `BLOCK`. Raises OSError."""
    if size <= len(ZEROS) and data.startswith(ZEROS[:size]):
        return
    view = memoryview(data)
    for begin, end in _nonzero_runs(data, size):
        position = begin
        while position < end:
            position += os.pwrite(fd, view[position:end], offset + position)


def copy_sparse(source_fd: int, target_fd: int) -> None:
    """Make the target what the source is: same size, same data, the same holes. Nothing of what it held stays.

    The file system shares the extents if it can (FICLONE), else the kernel copies the data, else this process does.
    Raises OSError: ENOSPC and EDQUOT when there is no room, EIO when the source gets shorter meanwhile."""
    os.ftruncate(target_fd, 0)
    if _clone(source_fd, target_fd):
        return
    os.ftruncate(target_fd, os.fstat(source_fd).st_size)
    copied_by_kernel = True
    for begin, end in data_extents(source_fd):
        position = _copy_range(source_fd, target_fd, begin, end) if copied_by_kernel else begin
        copied_by_kernel = position == end
        _copy_by_hand(source_fd, target_fd, position, end)


def copy_file(source: Path, target: Path) -> None:
    """`copy_sparse` into a new file, mode 0600, which is not there when it fails. Raises OSError, FileExistsError when
    there is a target already."""
    with open(source, "rb", buffering=0) as original:
        copy_fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            copy_sparse(original.fileno(), copy_fd)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        finally:
            os.close(copy_fd)


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link, or a copy where two file systems meet. A target that is there already is fine. Raises OSError."""
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
    """How far the kernel came by itself; `end`, unless these two files are none that it copies between."""
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
    """Stretches of the first `size` bytes without their blocks of zeros: (begin, end)."""
    zeros = ZEROS[:BLOCK]
    begin = -1
    for block in range(0, size, BLOCK):
        end = min(size, block + BLOCK)
        # startswith compares where the bytes are; slices would be copied, memoryviews compared one by one
        if data.startswith(zeros[: end - block], block, end):
            if begin >= 0:
                yield begin, block
            begin = -1
        elif begin < 0:
            begin = block
    if begin >= 0:
        yield begin, size
