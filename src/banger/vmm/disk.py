"""The root disks that a driver keeps: a directory has one, and what that consists of only the driver knows.

It may be a chain of layers above an image, of which only the uppermost is written to, or a copy of the image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from banger.vmm.frozen import Frozen


class Disks(Protocol):
    """Of VMs that do not run, but for `tidy`, `usage_bytes` and `sync`. `directory` is a VM's own, or a frozen VM's."""

    def have(self, directory: Path) -> bool:
        """Whether there is one."""

    def usage_bytes(self, directory: Path) -> int:
        """What the disk's own part takes on the host. Blocking. Raises `vmm_failed`."""

    def discard(self, directory: Path) -> None:
        """Remove a disk that nobody has written to. One that is not there is fine. Raises OSError."""

    async def replace(self, directory: Path, frozen: Frozen) -> None:
        """The disk gives way to a new one above what is frozen. All or nothing. Raises `insufficient_disk`,
        `vmm_failed`, `frozen_damaged`, `unsupported`."""

    async def tidy(self, directory: Path) -> None:
        """Remove what a change of the disk that was cut off left. Raises `frozen_damaged`, OSError."""

    async def sync(self, directory: Path) -> None:
        """After it returns, whatever the guest syncs survives a power failure of the host. Raises
        `frozen_damaged`, `vmm_failed`, `insufficient_disk`."""

    async def flatten(self, directory: Path, target: Path) -> None:
        """Write the disk with all that lies below it to one raw file. Raises `tool_failed`, `insufficient_disk`."""
