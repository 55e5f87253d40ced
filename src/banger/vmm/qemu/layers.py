"""Disks as chains of qcow2 files: the files below a disk, and how a directory comes to own a chain.

    root.qcow2 -> layer-c201.qcow2 → layer-1f3a.qcow2 → layer-90bc.qcow2 → /…/images/<digest>.ext4

`root.qcow2` is a symbolic link to the one file that may be written to. A file never changes its name, and no other file
ever gets that name: to read data that it wrote before, QEMU opens files again by the names that it knows.

What a guest has synced must survive a power failure, so a disk with contents is pointed at another file only after its
directory is synced. A new, empty disk needs no sync before its guest has written to it; `sync` does that.

A file below the uppermost is never written to again, so any number of directories may share it: each has a hard link of
its own under the same name, and the names in the files are relative. To remove a directory does not harm other
directories.
"""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import NamedTuple

from banger.errors import Error
from banger.host.foreign import open_foreign
from banger.host.fs import remove_tree, sync_path
from banger.host.sparse import link_or_copy
from banger.vmm import owners
from banger.vmm.qemu.overlay import write_overlay

_HEAD = struct.Struct(">4sIQIIQ")
_LONGEST_NAME = 1023
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_IMAGE_NAME = re.compile(r"[0-9a-f]{64}\.ext4")
_LATEST_NAME = 2 << 20  # the name lies in the first cluster; clusters are at most 2 MiB
# QEMU opens each file of a chain, and may read through all of them.
MAX_LAYERS = 48


class Head(NamedTuple):
    """Of a qcow2 file: the name of the file below it ("" for none) and the virtual size."""

    backing: str
    size_bytes: int


def read_head(path: Path) -> Head:
    """Raises `frozen_damaged` if the file is not a qcow2 file."""
    try:
        with open(open_foreign(path), "rb") as file:
            magic, version, offset, length, _, size = _HEAD.unpack(file.read(_HEAD.size))
            if magic != b"QFI\xfb" or version not in (2, 3) or length > _LONGEST_NAME:
                raise ValueError("a wrong header")
            if offset > _LATEST_NAME:
                raise ValueError("a name lies beyond its cluster")
            file.seek(offset)
            name = file.read(length) if offset else b""
            if b"\0" in name or name in (b".", b".."):
                raise ValueError("an impossible file name")
    except (OSError, ValueError, struct.error) as exc:
        raise Error("frozen_damaged", f"{path} is not a disk that banger wrote: {exc}") from exc
    return Head(os.fsdecode(name), size)


def active(disk: Path) -> Path:
    """The file that is written to: the target of the link, or `disk` itself if it is not a link. Raises
    `frozen_damaged`."""
    return _beside(disk, os.readlink(disk)) if disk.is_symlink() else disk


def _beside(disk: Path, name: str) -> Path:
    """Raises `frozen_damaged` for a name that leads elsewhere: a VMM may have written it."""
    if not _FILE_NAME.fullmatch(name):
        raise Error("frozen_damaged", f"{disk} lies on {name!r}, which is not a layer")
    return disk.with_name(name)


def read_chain(disk: Path) -> list[Path]:
    """All files of a disk in its own directory, the active file first; without the image below, which has other owners.
    Raises `frozen_damaged`."""
    found = [active(disk)]
    while (name := read_head(found[-1]).backing) and "/" not in name:
        found.append(_beside(disk, name))
        if len(found) > 2 * MAX_LAYERS:
            raise Error("frozen_damaged", f"the layers of {disk} have no end")
    return found


def read_places(disk: Path) -> list[Path]:
    """The files that a program must open to read a disk: those of `read_chain`, and the image below. A guest's VMM may
    have written the name of the image, so the name must be a possible name of an image, outside the directory that the
    VMM writes to. Raises `frozen_damaged`."""
    chain = read_chain(disk)
    image = Path(read_head(chain[-1]).backing)
    if image == Path():
        return chain
    try:
        ours = os.lstat(image).st_uid in (0, os.geteuid())
    except OSError as exc:
        raise Error("frozen_damaged", f"the image below {disk} cannot be read: {exc.strerror}") from exc
    if not (ours and _IMAGE_NAME.fullmatch(image.name) and image.parent.resolve() != disk.parent.resolve()):
        raise Error("frozen_damaged", f"{disk} lies on {str(image)!r}, which is not an image")
    return [*chain, image]


def _refuse_more(disk: Path, chain: list[Path]) -> None:
    if len(chain) >= MAX_LAYERS:
        raise Error(
            "unsupported",
            f"the disk {disk} consists of {len(chain)} layers already",
            "commit the machine to an image, and continue with a machine of that image",
        )


def create(disk: Path, backing: str, backing_format: str, size_bytes: int) -> None:
    """Make a new, empty disk above `backing`."""
    top = disk.with_name(_new_name())
    write_overlay(top, backing, backing_format, size_bytes)
    _point(disk, top)


def link_chain(layer: Path, disk: Path) -> None:
    """Make `disk`, in another directory, out of hard links to `layer` and the files below it."""
    for file in read_chain(layer):
        link_or_copy(file, disk.with_name(file.name))
    _point(disk, disk.with_name(layer.name))


def lay_over(below: Path, disk: Path, size_bytes: int) -> None:
    """Make `disk` a new, empty disk above the frozen disk `below`, with hard links to all layers in its own directory.
    The files of the old disk stay; until the last step `disk` is still the old disk."""
    first, *rest = chain = read_chain(below)
    _refuse_more(below, chain)
    layer = disk.with_name(first.name if below.is_symlink() else _new_name())
    link_or_copy(first, layer)
    for file in rest:
        link_or_copy(file, disk.with_name(file.name))
    create(disk, layer.name, "qcow2", max(size_bytes, read_head(first).size_bytes))


def replace(disk: Path, below: Path) -> None:
    """Make `disk`, which is not in use, an empty disk above `below`; remove layers that only the old disk needed."""
    lay_over(below, disk, 0)
    sync_path(disk.parent)  # before the layers of the old disk are removed
    tidy(disk)


def clear(disk: Path) -> None:
    """Remove the files of a disk that a failed start left unfinished."""
    for file in [disk, *disk.parent.glob("layer-*")]:
        remove_tree(file)


def tidy(disk: Path) -> None:
    """Remove what an interrupted change of the disk left beside it: whole and half-written layers that the disk does
    not need. Raises `frozen_damaged`."""
    needed = set(read_chain(disk))
    for file in [_unpointed(disk), *disk.parent.glob("layer-*")]:
        if file not in needed:
            remove_tree(file)


def sync(disk: Path) -> None:
    """Sync all files of the disk, and their names. From then on, what a guest syncs survives a power failure: the VMM
    itself syncs the uppermost file only. Blocking. Raises `frozen_damaged`, OSError."""
    for file in read_chain(disk):
        sync_path(file)
    sync_path(disk.parent)
    sync_path(disk.parent.parent)


def push_down(disk: Path) -> Path:
    """Put an empty file above the active file of a disk that is in use; return the path of the new file.

    The VMM writes to the old file until it is told of the new one. If the daemon dies at any moment, `disk` still reads
    as what was written last."""
    below, *_ = chain = read_chain(disk)
    _refuse_more(disk, chain)
    create(disk, below.name, "qcow2", read_head(below).size_bytes)
    above = active(disk)
    sync_path(above)
    sync_path(disk.parent)
    return above


def pull_up(disk: Path, below: Path) -> None:
    """Undo `push_down`: the VMM was not told of the new file, and writes to `below`."""
    above = active(disk)
    _point(disk, below)
    sync_path(disk.parent)
    above.unlink()


def take_back_chain(layer: Path) -> None:
    """Take back `layer` and the files below it. Raises `frozen_damaged`, OSError."""
    for file in read_chain(layer):
        owners.take_back(file)


def _point(disk: Path, target: Path) -> None:
    fresh = _unpointed(disk)
    remove_tree(fresh)
    os.symlink(target.name, fresh)
    os.replace(fresh, disk)


def _unpointed(disk: Path) -> Path:
    return disk.with_name(f".{disk.name}.new")


def _new_name() -> str:
    return f"layer-{os.urandom(4).hex()}.qcow2"
