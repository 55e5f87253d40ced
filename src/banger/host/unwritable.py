"""Files for processes that are not trusted: opened so that a process with the descriptor cannot write to the file.

A read-only descriptor is not enough: a process may open the file again through /proc/self/fd, and no file mode stops a
process that runs as root. So the file is opened through a read-only mount of its own, which belongs to no namespace and
ends with the descriptor. That needs the right to mount; without it, the file mode must be enough.
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
    """A read-only mount of this one file; None if the kernel does not allow it."""
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
