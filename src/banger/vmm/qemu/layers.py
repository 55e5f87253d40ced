"""Disks as chains of qcow2 files: what lies below a disk, and how a directory comes to own a chain.

    root.qcow2 → layer-1f3a.qcow2 → layer-90bc.qcow2 → /…/images/<digest>.ext4

A layer is never written to again, so any number of directories may have it: each has a hard link of its own, under
the same name, and names its layers relatively. Whoever removes a directory removes nothing of anybody else's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from pathlib import Path
from typing import NamedTuple

from banger.errors import Error
from banger.host.sparse import copy_file
from banger.vmm.qemu.overlay import write_overlay

_HEAD = struct.Struct(">4sIQIIQ")
_LONGEST_NAME = 1023
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
                raise ValueError("a name that lies beyond its cluster")
            file.seek(offset)
            name = file.read(length) if offset else b""
            if b"\0" in name:
                raise ValueError("a name with a NUL")
    except (OSError, ValueError, struct.error) as exc:
        raise Error("frozen_damaged", f"{path} is not a disk of ours: {exc}") from exc
    return Head(os.fsdecode(name), size)


def read_layers(disk: Path) -> list[Path]:
    """The files below `disk` in its own directory, the uppermost first; the image below them is not ours."""
    found: list[Path] = []
    name = read_head(disk).backing
    while name and "/" not in name:
        found.append(disk.parent / name)
        if len(found) > MAX_LAYERS:
            raise Error(
                "unsupported",
                f"the disk {disk} lies on more than {MAX_LAYERS} others",
                "commit the machine to an image, and go on from that",
            )
        name = read_head(found[-1]).backing
    return found


def link_layers(disk: Path, directory: Path) -> None:
    """Give `directory` what lies below `disk`."""
    for layer in read_layers(disk):
        link(layer, directory / layer.name)


def lay_over(below: Path, overlay: Path, size_bytes: int) -> None:
    """A new, empty `overlay` on the frozen disk `below`, with links to all it needs in its own directory."""
    layer = overlay.parent / _new_name()
    link(below, layer)
    link_layers(below, overlay.parent)
    write_overlay(overlay, layer.name, "qcow2", max(size_bytes, read_head(below).size_bytes))


def replace(disk: Path, below: Path) -> None:
    """`disk`, which nobody uses, becomes an empty one above `below`; layers that only the old one needed go."""
    fresh = disk.with_name(f"{disk.name}.new")
    fresh.unlink(missing_ok=True)
    lay_over(below, fresh, 0)
    os.replace(fresh, disk)
    needed = set(read_layers(disk))
    for layer in disk.parent.glob("layer-*.qcow2"):
        if layer not in needed:
            layer.unlink()


def push_down(disk: Path) -> Path:
    """Make a disk that is in use a layer, and put an empty one above it; the layer's path.

    The VMM still writes to the layer until it is told of the new disk. Whenever we end, `disk` reads as what was
    written last."""
    read_layers(disk)  # raises when there are too many
    layer = disk.parent / _new_name()
    os.link(disk, layer)
    write_overlay(disk, layer.name, "qcow2", read_head(layer).size_bytes)
    return layer


def pull_up(disk: Path, layer: Path) -> None:
    """Undo `push_down`: the VMM was never told."""
    os.replace(layer, disk)


def link(source: Path, target: Path) -> None:
    """A hard link, or a copy where two file systems meet. One that is there already is fine."""
    try:
        with contextlib.suppress(FileExistsError):
            os.link(source, target)
    except OSError as exc:
        if exc.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        copy_file(source, target)


def _new_name() -> str:
    return f"layer-{os.urandom(4).hex()}.qcow2"
