"""The disk of a volume: an empty ext4 file system, or a copy of another disk. Blocking: for threads.

A guest writes the file system, so the host never mounts it, and reads nothing of it.
"""

from __future__ import annotations

import errno
import hashlib
import time
from pathlib import Path

from banger.errors import Error
from banger.host.sparse import copy_file
from banger.images.disks.ext4 import Ext4Writer
from banger.images.disks.tree import Node
from banger.model.sizes import TIB
from banger.tar.kind import Kind

DISK = "disk.ext4"


def disk_of(directory: Path) -> Path:
    """The disk in the directory of a volume."""
    return directory / DISK


def write_empty(directory: Path, volume_id: str, size_bytes: int, keep_free_bytes: int) -> None:
    """Make the disk in a directory that has none. The file takes next to nothing: the rest is a hole. It has no
    lost+found, since some programs (initdb, say) want an empty directory. Raises `bad_size`, `insufficient_disk`,
    OSError."""
    identity = hashlib.sha256(f"banger volume {volume_id}".encode()).digest()
    with Ext4Writer(
        disk_of(directory),
        uuid=identity[:16],
        hash_seed=identity[16:],
        grows_to_bytes=max(TIB, size_bytes),
        keep_free_bytes=keep_free_bytes,
        lost_and_found=False,
    ) as writer:
        root = Node(Kind.DIRECTORY, 0o755, mtime_ns=time.time_ns())
        writer.finish(root, size_bytes=size_bytes)


def copy_disk(source: Path, directory: Path) -> None:
    """Copy the disk of another volume; holes stay holes, and blocks are shared where the host's file system can. Raises
    `insufficient_disk`, OSError."""
    copy_file(source, disk_of(directory))


def cannot_make(directory: Path, exc: OSError) -> Error:
    """The error for a directory that cannot be written."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return Error("insufficient_disk", f"no space left for {directory}", "free space there, and try again")
    return Error(
        "volume_invalid", f"cannot write {directory}: {exc.strerror or exc}", "check the host's disk"
    )


def used_bytes(directory: Path) -> int:
    """What the disk takes of the host."""
    try:
        return disk_of(directory).stat().st_blocks * 512
    except OSError:
        return 0


def require_disk(directory: Path, name: str) -> Path:
    """The disk, which must be there: a lost disk is never replaced by an empty one. Raises `volume_invalid`."""
    disk = disk_of(directory)
    if not disk.is_file() or disk.is_symlink():
        raise Error(
            "volume_invalid",
            f"the disk of the volume {name} is missing: it was {disk}",
            f"put it back, or delete the volume: banger volume delete {name}",
        )
    return disk
