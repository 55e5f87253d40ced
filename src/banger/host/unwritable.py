"""Files for processes that are not trusted: opened so that whoever has the descriptor cannot write to the file.

A descriptor for reading is not enough where the process may open the file anew, by /proc/self/fd: for one that runs as
root no mode forbids that. So the file is opened through a mount of its own, which is read-only, belongs to no
namespace, and ends with the descriptor. Only who may mount can do that; elsewhere the mode has to do.
"""

from __future__ import annotations

import ctypes
import os
import stat
from pathlib import Path

_OPEN_TREE, _MOUNT_SETATTR = 428, 442  # the same on all architectures
_AT_FDCWD, _AT_EMPTY_PATH, _OPEN_TREE_CLONE = -100, 0x1000, 1
_MOUNT_ATTR_RDONLY = 1
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user_namespace")]


def open_unwritable(path: Path) -> int:
    """A descriptor for reading. Raises OSError."""
    tree = _clone_mount(path)
    if tree is None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    else:
        try:
            fd = os.open(f"/proc/self/fd/{tree}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(tree)
    try:
        mode = os.fstat(fd).st_mode
        if tree is None and mode & _WRITABLE:
            os.fchmod(fd, stat.S_IMODE(mode) & ~_WRITABLE)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _clone_mount(path: Path) -> int | None:
    """A read-only mount of a file, and of nothing else; None where the kernel does not let us."""
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    tree: int = libc.syscall(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags)
    if tree < 0:
        return None
    attributes = _MountAttributes(set=_MOUNT_ATTR_RDONLY)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    if libc.syscall(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(attributes), size) != 0:
        os.close(tree)
        return None
    return tree
