"""Volumes of a running QEMU: a slot that has had no disk gets one.

    for writing     slot ── raw ── file
    for reading     slot ── qcow2 (a layer of this VM) ── raw, read-only ── file

QEMU's jail does not contain the files, so it gets descriptors. It locks each file: two writers, or a reader beside a
writer, are refused whatever the records of the daemon say.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from banger.errors import Error, VmmFailed
from banger.host.thread import in_thread
from banger.vmm.failures import cannot_write
from banger.vmm.qemu.argv import volume_device
from banger.vmm.qemu.monitor import Monitor
from banger.vmm.qemu.overlay import write_overlay

_LOCKED = re.compile(r"Failed to (get|lock)\b")
Node = dict[str, object]


def size_of(disk: Path) -> int:
    """Raises `vmm_failed`."""
    try:
        return disk.stat().st_size
    except OSError as exc:
        raise _lost(disk, exc) from exc


async def attach(monitor: Monitor, slot: int, disk: Path, size_bytes: int, layer: Path | None) -> None:
    """Put the disk into the slot, and tell the guest its size. With `layer`, the path of a file to make, the disk is
    read only. Raises `vmm_failed`, `in_use`, `insufficient_disk`."""
    try:
        await _attach(monitor, volume_device(slot), disk, size_bytes, layer)
    except VmmFailed as exc:
        if not _LOCKED.search(exc.message):
            raise
        message = f"the disk {disk} is in use by another program"
        raise Error("in_use", message, "stop the machine that has it") from exc


async def _attach(monitor: Monitor, name: str, disk: Path, size_bytes: int, layer: Path | None) -> None:
    if layer is None:
        await _add(monitor, disk, plan_raw(name, read_only=False))
    else:
        await _add(monitor, disk, plan_raw(f"{name}-below", read_only=True))
        try:
            await in_thread(write_overlay, layer, "volume", "raw", size_bytes)
        except OSError as exc:
            raise cannot_write(layer.parent, exc) from exc
        await _add(monitor, layer, plan_layer(name))
    device = {"path": f"/machine/peripheral/{name}", "property": "drive"}
    await monitor.execute("qom-set", {**device, "value": name})
    # The size is the same, and the guest is told it all the same.
    await monitor.execute("block_resize", {"node-name": name, "size": size_bytes})


def plan_raw(name: str, *, read_only: bool) -> Node:
    """Blocks that the guest discards become holes. `filename` is yet to come."""
    file: Node = {"driver": "file", "locking": "auto", "discard": "unmap"}
    return {
        "driver": "raw", "node-name": name, "read-only": read_only, "auto-read-only": False, "discard": "unmap",
        "file": {**file, "read-only": read_only, "auto-read-only": False},
    }  # fmt: skip


def plan_layer(name: str) -> Node:
    file: Node = {"driver": "file", "discard": "unmap"}
    return {
        "driver": "qcow2", "node-name": name, "discard": "unmap", "backing": f"{name}-below", "file": file,
    }  # fmt: skip


async def _add(monitor: Monitor, path: Path, node: Node) -> None:
    fd = await in_thread(_open, path, bool(node.get("read-only")))
    try:
        place = await monitor.add_descriptor(fd)
    finally:
        os.close(fd)
    file = node["file"]
    assert isinstance(file, dict)
    try:
        await monitor.execute("blockdev-add", {**node, "file": {**file, "filename": place}})
    finally:
        await monitor.remove_descriptor(place)


def _open(path: Path, read_only: bool) -> int:
    try:
        return os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as exc:
        raise _lost(path, exc) from exc


def _lost(disk: Path, exc: OSError) -> Error:
    return Error("vmm_failed", f"cannot open the disk {disk}: {exc.strerror}", "put the file back")
