"""A frozen VM of QEMU's: its memory (sparse), the state of its devices, and its root disk with the layers below it."""

from __future__ import annotations

from pathlib import Path

from banger.host.sparse import link_or_copy
from banger.host.thread import in_thread
from banger.vmm.failures import cannot_write
from banger.vmm.frozen import Frozen
from banger.vmm.qemu import names
from banger.vmm.qemu.disks import convert
from banger.vmm.qemu.qcow2_header import check_standalone_qcow2

_STATE = (names.DEVICES, names.MEMORY)


class QemuFrozenFiles:
    """Stateless."""

    members: tuple[str, ...] = (*_STATE, names.DISK)

    def parts(self, frozen: Frozen) -> list[str]:
        found = [path.name for path in frozen.directory.iterdir()]
        return sorted(name for name in found if name in _STATE or name.endswith(".qcow2"))

    def state_parts(self) -> tuple[str, ...]:
        return _STATE

    async def pack(self, frozen: Frozen, directory: Path) -> None:
        await convert(names.disk(frozen.directory), names.disk(directory), "qcow2")
        try:
            for name in _STATE:
                await in_thread(link_or_copy, frozen.directory / name, directory / name)
        except OSError as exc:
            raise cannot_write(directory, exc) from exc

    def check_member(self, path: Path, disk_limit_bytes: int) -> None:
        if path.name == names.DISK:
            check_standalone_qcow2(path, disk_limit_bytes)
