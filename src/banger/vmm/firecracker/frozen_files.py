"""A frozen VM of Firecracker's: its memory (sparse), the state of its devices and processors, and its root disk."""

from __future__ import annotations

import stat
from pathlib import Path

from banger.errors import Error
from banger.host.sparse import link_or_copy
from banger.host.thread import in_thread
from banger.model.sizes import MIB
from banger.vmm.firecracker import names
from banger.vmm.firecracker.disks import cannot_write
from banger.vmm.frozen import Frozen

_STATE = (names.STATE, names.MEMORY)
# A state has some tens of KiB; Firecracker reads it whole.
_STATE_BYTES = 8 * MIB


class FirecrackerFrozenFiles:
    """Stateless."""

    members: tuple[str, ...] = (*_STATE, names.DISK)

    def parts(self, frozen: Frozen) -> list[str]:
        found = {path.name for path in frozen.directory.iterdir()}
        return sorted(found & {*self.members})

    def state_parts(self) -> tuple[str, ...]:
        return _STATE

    async def pack(self, frozen: Frozen, directory: Path) -> None:
        try:
            for name in self.members:
                await in_thread(link_or_copy, frozen.directory / name, directory / name)
        except OSError as exc:
            raise cannot_write(directory, exc) from exc

    def check_member(self, path: Path, disk_limit_bytes: int) -> None:
        found = path.lstat()
        limit = {names.DISK: disk_limit_bytes, names.STATE: _STATE_BYTES}.get(path.name)
        if not stat.S_ISREG(found.st_mode):
            raise Error("snapshot_invalid", f"{path.name} is not a file")
        if limit is not None and found.st_size > limit:
            raise Error("snapshot_invalid", f"{path.name} has {found.st_size} bytes, {limit} are the most")
