"""Root disks of Firecracker's machines: one raw file each, a copy of the image's or of a frozen disk.

The file system shares the blocks of a copy if it can (XFS, Btrfs); else a copy has the holes of its original and takes
the time and the space of the rest.
"""

from __future__ import annotations

import os
from pathlib import Path

from banger.errors import Error
from banger.host.fs import remove_tree, sync_path
from banger.host.sparse import copy_file
from banger.host.thread import in_thread
from banger.vmm import failures, owners
from banger.vmm.disk import DiskKind
from banger.vmm.failures import cannot_read_disk
from banger.vmm.firecracker import names
from banger.vmm.frozen import Frozen

_FRESH = f"{names.DISK}.new"


class FirecrackerDisks:
    """Stateless."""

    def have(self, directory: Path) -> bool:
        return names.disk(directory).exists()

    def usage_bytes(self, directory: Path) -> int:
        path = names.disk(directory)
        try:
            return path.lstat().st_blocks * 512
        except OSError as exc:
            raise cannot_read_disk(path, exc) from exc

    def discard(self, directory: Path) -> None:
        for name in (names.DISK, _FRESH):
            remove_tree(directory / name)

    async def replace(self, directory: Path, frozen: Frozen) -> DiskKind:
        try:
            return await in_thread(_replace, names.disk(frozen.directory), directory)
        except OSError as exc:
            raise cannot_write(directory, exc) from exc

    async def tidy(self, directory: Path) -> None:
        remove_tree(directory / _FRESH)

    async def sync(self, directory: Path) -> None:
        try:
            await in_thread(_sync, directory)
        except OSError as exc:
            raise cannot_write(directory, exc) from exc

    async def flatten(self, directory: Path, target: Path) -> None:
        try:
            await in_thread(copy_file, names.disk(directory), target)
        except OSError as exc:
            raise cannot_write(target.parent, exc) from exc


def make_disk(source: Path, directory: Path, size_bytes: int) -> DiskKind:
    """Make the disk of `directory`, at least that large, from a raw disk; all or nothing. Blocking. Raises OSError."""
    fresh = directory / _FRESH
    remove_tree(fresh)
    shares = copy_file(source, fresh)
    try:
        if fresh.stat().st_size < size_bytes:
            os.truncate(fresh, size_bytes)
        fresh.replace(names.disk(directory))
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    return _kind(shares)


def _replace(source: Path, directory: Path) -> DiskKind:
    """The disk that was there has contents, so the new one is synced before it takes the place."""
    fresh = directory / _FRESH
    remove_tree(fresh)
    shares = copy_file(source, fresh)
    sync_path(fresh)
    fresh.replace(names.disk(directory))
    return _kind(shares)


def _kind(shares_blocks: bool) -> DiskKind:
    return "reflink" if shares_blocks else "copy"


def freeze_disk(directory: Path, target: Path) -> None:
    """Make a copy of the disk of `directory`, which no guest writes to meanwhile, the disk of `target`. A disk that
    stays where it is only becomes the daemon's again. Blocking. Raises OSError."""
    if directory == target:
        owners.take_back(names.disk(directory))
    else:
        make_disk(names.disk(directory), target, 0)
        owners.make_readable(names.disk(target))


def _sync(directory: Path) -> None:
    sync_path(names.disk(directory))
    sync_path(directory)


def cannot_write(directory: Path, exc: OSError) -> Error:
    """As `failures.cannot_write`; here, what is missing is a file of a frozen VM."""
    if isinstance(exc, FileNotFoundError):
        return Error("frozen_damaged", f"{exc.filename or directory} is missing")
    return failures.cannot_write(directory, exc)
