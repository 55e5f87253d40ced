"""Disks as chains of qcow2 files: what lies below a disk, and how a directory comes to own a chain.

    root.qcow2 -> layer-c201.qcow2 → layer-1f3a.qcow2 → layer-90bc.qcow2 → /…/images/<digest>.ext4

`root.qcow2` is a symbolic link to the one file that may be written to. No file ever changes its name or gives it to
another: QEMU opens files again by the name it knows them under, to read from what it wrote to before.

What a guest has synced must be found again after a power failure, so a disk that holds something is pointed at another
file only with its directory synced. A new, empty disk is not at once: until its guest has written to it, there is
nothing to lose. `sync` is for before that.

A file below is never written to again, so any number of directories may have it: each has a hard link of its own, under
the same name, and names its layers relatively. Whoever removes a directory removes nothing of anybody else's.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from pathlib import Path
from typing import NamedTuple

from banger.errors import Error
from banger.host.fs import sync_path
from banger.host.sparse import link_or_copy
from banger.vmm.qemu.overlay import write_overlay

_HEAD = struct.Struct(">4sIQIIQ")
_LONGEST_NAME = 1023
_IMAGE_NAME = re.compile(r"[0-9a-f]{64}\.ext4")
_LATEST_NAME = 2 << 20  # it lies in the first cluster, and no cluster is larger
# QEMU opens every file of a chain, and reads through all of them.
MAX_LAYERS = 48


class Head(NamedTuple):
    """Of a qcow2 file: what it lies on ("" for nothing) and its virtual size."""

    backing: str
    size_bytes: int


def read_head(path: Path) -> Head:
    """Raises `frozen_damaged` when it is no qcow2 file."""
    try:
        with open(path, "rb") as file:
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
    """The file that is written to; of a disk that came as one file, that file."""
    return disk.with_name(os.readlink(disk)) if disk.is_symlink() else disk


def read_chain(disk: Path) -> list[Path]:
    """All files of a disk in its own directory, the active one first; the image below them is not ours. Raises
    `frozen_damaged`."""
    found = [active(disk)]
    while (name := read_head(found[-1]).backing) and "/" not in name:
        found.append(disk.with_name(name))
        if len(found) > 2 * MAX_LAYERS:
            raise Error("frozen_damaged", f"the layers of {disk} have no end")
    return found


def read_places(disk: Path) -> list[Path]:
    """What a program that reads a disk has to open: the files of `read_chain`, and the image below them. The name of
    the image is in a file that a guest's VMM has written to, so it must be one that an image can have, outside of what
    a VMM can write to. Raises `frozen_damaged`."""
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
    """A new, empty disk."""
    top = disk.with_name(_new_name())
    write_overlay(top, backing, backing_format, size_bytes)
    _point(disk, top)


def link_chain(layer: Path, disk: Path) -> None:
    """`disk`, in another directory, is what `layer` and those below it are. It has links of its own to all of them."""
    for file in read_chain(layer):
        link_or_copy(file, disk.with_name(file.name))
    _point(disk, disk.with_name(layer.name))


def lay_over(below: Path, disk: Path, size_bytes: int) -> None:
    """`disk` becomes a new, empty one on the frozen disk `below`, with links to all it needs in its own directory.
    What it was before stays, until then its own."""
    first, *rest = chain = read_chain(below)
    _refuse_more(below, chain)
    layer = disk.with_name(first.name if below.is_symlink() else _new_name())
    link_or_copy(first, layer)
    for file in rest:
        link_or_copy(file, disk.with_name(file.name))
    create(disk, layer.name, "qcow2", max(size_bytes, read_head(first).size_bytes))


def replace(disk: Path, below: Path) -> None:
    """`disk`, which nobody uses, becomes an empty one above `below`; layers that only the old one needed go."""
    lay_over(below, disk, 0)
    sync_path(disk.parent)  # before what only the old one needed goes
    tidy(disk)


def clear(disk: Path) -> None:
    """What a start that came to nothing left of a disk that never was."""
    for file in [disk, *disk.parent.glob("layer-*")]:
        file.unlink(missing_ok=True)


def tidy(disk: Path) -> None:
    """Remove what a change of the disk that was cut off left beside it: layers, and halves of them, that are not of it.
    Raises `frozen_damaged`."""
    needed = set(read_chain(disk))
    for file in [_unpointed(disk), *disk.parent.glob("layer-*")]:
        if file not in needed:
            file.unlink(missing_ok=True)


def sync(disk: Path) -> None:
    """All that the disk consists of is on the disk of the host, under its names: what a guest syncs from now on, which
    its VMM does to the uppermost file alone, is found again. Blocking. Raises `frozen_damaged`, OSError."""
    for file in read_chain(disk):
        sync_path(file)
    sync_path(disk.parent)
    sync_path(disk.parent.parent)


def push_down(disk: Path) -> Path:
    """Put an empty file above the active one of a disk that is in use; its path.

    The VMM still writes to the one below until it is told of the new one. Whenever we end, `disk` reads as what was
    written last."""
    below, *_ = chain = read_chain(disk)
    _refuse_more(disk, chain)
    create(disk, below.name, "qcow2", read_head(below).size_bytes)
    above = active(disk)
    sync_path(above)
    sync_path(disk.parent)
    return above


def pull_up(disk: Path, below: Path) -> None:
    """Undo `push_down`: the VMM was never told, and writes to `below`."""
    above = active(disk)
    _point(disk, below)
    sync_path(disk.parent)
    above.unlink()


def give(file: Path, user: int) -> None:
    """Make `file` belong to the user that a VMM runs as. Raises OSError."""
    if user != os.geteuid():
        os.chown(file, user, user, follow_symlinks=False)


def take_back(file: Path) -> None:
    """A file that no VMM writes to any more is ours, for any VMM to read. Raises OSError."""
    if os.stat(file, follow_symlinks=False).st_uid != os.geteuid():
        os.chown(file, os.geteuid(), os.getegid(), follow_symlinks=False)
    make_readable(file)


def make_readable(file: Path) -> None:
    """For users that get this file alone to see, not the directory that it is in. Raises OSError."""
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = stat.S_IMODE(os.fstat(fd).st_mode)
        if not mode & stat.S_IROTH:
            os.fchmod(fd, mode | stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    finally:
        os.close(fd)


def _point(disk: Path, target: Path) -> None:
    fresh = _unpointed(disk)
    fresh.unlink(missing_ok=True)
    os.symlink(target.name, fresh)
    os.replace(fresh, disk)


def _unpointed(disk: Path) -> Path:
    return disk.with_name(f".{disk.name}.new")


def _new_name() -> str:
    return f"layer-{os.urandom(4).hex()}.qcow2"
