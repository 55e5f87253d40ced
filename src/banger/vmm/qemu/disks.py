"""Root disks of QEMU's machines: chains of qcow2 files, see `layers`."""

from __future__ import annotations

import os
from pathlib import Path

from banger.host.fs import require_free
from banger.host.jail import Jail, bounds_of_helper
from banger.host.run import run
from banger.host.thread import in_thread
from banger.vmm import owners
from banger.vmm.disk import DiskKind
from banger.vmm.failures import cannot_read_disk, cannot_write
from banger.vmm.frozen import Frozen
from banger.vmm.qemu import layers, names
from banger.vmm.qemu.file_bound import longest_file
from banger.vmm.qemu.overlay import MAX_DISK_BYTES

_FLATTEN_S = 1800.0


class QemuDisks:
    """Stateless."""

    def have(self, directory: Path) -> bool:
        return names.disk(directory).exists()

    def usage_bytes(self, directory: Path) -> int:
        path = names.disk(directory)
        try:
            return os.lstat(layers.active(path)).st_blocks * 512
        except OSError as exc:
            raise cannot_read_disk(path, exc) from exc

    def discard(self, directory: Path) -> None:
        layers.clear(names.disk(directory))

    async def replace(self, directory: Path, frozen: Frozen) -> DiskKind:
        try:
            await in_thread(layers.replace, names.disk(directory), names.disk(frozen.directory))
        except OSError as exc:
            raise cannot_write(directory, exc) from exc
        return "layer"

    async def tidy(self, directory: Path) -> None:
        disk = names.disk(directory)
        if disk.is_symlink():
            await in_thread(layers.tidy, disk)

    async def sync(self, directory: Path) -> None:
        try:
            await in_thread(layers.sync, names.disk(directory))
        except OSError as exc:
            raise cannot_write(directory, exc) from exc

    async def flatten(self, directory: Path, target: Path) -> None:
        await convert(names.disk(directory), target, "raw")


async def convert(disk: Path, target: Path, kind: str) -> None:
    """Write a disk with all layers below it to one file. Raises `tool_failed`, `insufficient_disk`."""
    needed_bytes = await in_thread(_chain_bytes, disk)
    await in_thread(require_free, target.parent, needed_bytes, f"a copy of {disk.name}")
    jail = await in_thread(_prepare_jail, disk, target)
    try:
        await run(
            ["qemu-img", "convert", "-U", "-f", "qcow2", "-O", kind, str(layers.active(disk)), str(target)],
            timeout_s=_FLATTEN_S,
            jail=jail,
        )
    finally:
        if jail.user is not None:
            await in_thread(os.chown, target, os.geteuid(), os.getegid())


def _prepare_jail(disk: Path, target: Path) -> Jail:
    """The program reads files that a VMM has written, so the jail has only these and the target. It runs as the VMM's
    user, if that is not the daemon's user."""
    places = layers.read_places(disk)
    owner = os.stat(places[0]).st_uid
    target.touch(mode=0o600)
    user = owner if owner != os.geteuid() else None
    if user is not None:
        owners.give(target, user)
        for path in places[1:]:
            owners.make_readable(path)
    size_bytes = layers.read_head(places[0]).size_bytes
    return Jail(
        read=tuple(places),
        write=(target,),
        user=user,
        bounds=bounds_of_helper(longest_file(min(size_bytes, MAX_DISK_BYTES), 0)),
    )


def _chain_bytes(disk: Path) -> int:
    """Bytes that a disk and its layers take. How much of the image below is copied too shows only during the write."""
    return sum(path.lstat().st_blocks * 512 for path in layers.read_chain(disk))
