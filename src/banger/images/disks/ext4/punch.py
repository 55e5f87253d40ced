"""Free the space of data that the tree no longer names, so that the file stays sparse.

Afterwards the place reads as zeros, whatever the host's file system supports: the bytes of the disk must not depend on
the host, and must not hold data that the image removed.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterable
from functools import cache
from typing import cast

from banger.images.disks.ext4.layout import BLOCK
from banger.images.disks.ext4.stream import write_at

_KEEP_SIZE, _PUNCH_HOLE = 0x1, 0x2
_ZEROS = memoryview(bytes(256 * BLOCK))


def punch_holes(fd: int, runs: Iterable[tuple[int, int]]) -> None:
    """Free `runs`, each (block, count)."""
    for block, count in runs:
        if not _punch(fd, block * BLOCK, count * BLOCK):
            _write_zeros(fd, block * BLOCK, count * BLOCK)


def _punch(fd: int, position: int, length: int) -> bool:
    """Returns False if the file system cannot punch holes."""
    while _fallocate()(fd, _KEEP_SIZE | _PUNCH_HOLE, position, length) != 0:
        number = ctypes.get_errno()
        if number in (errno.EOPNOTSUPP, errno.ENOSYS):
            return False
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True


@cache
def _fallocate() -> Callable[[int, int, int, int], int]:
    """fallocate(2): Python's own has no mode."""
    function = ctypes.CDLL(None, use_errno=True).fallocate
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return cast("Callable[[int, int, int, int], int]", function)


def _write_zeros(fd: int, position: int, length: int) -> None:
    for at in range(0, length, len(_ZEROS)):
        write_at(fd, _ZEROS[: min(len(_ZEROS), length - at)], position + at)
