"""The root disks of a driver's VMs: one disk in each directory; only the driver knows which files it consists of.

A disk may be a chain of layers above an image, of which only the uppermost is written to, or a copy of the image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from banger.vmm.frozen import Frozen

# How a disk was made: a layer above another disk, a copy that shares its blocks with the original, or one with blocks
# of its own.
DiskKind = Literal["layer", "reflink", "copy"]


class Disks(Protocol):
    """Except for `tidy`, `usage_bytes` and `sync`, only for VMs that do not run. `directory` belongs to a VM or to a
    frozen VM."""

    def have(self, directory: Path) -> bool:
        """Whether the directory has a disk."""

    def usage_bytes(self, directory: Path) -> int:
        """Bytes that the disk takes on the host, without the image below. Blocking. Raises `vmm_failed`."""

    def discard(self, directory: Path) -> None:
        """Remove a disk that no guest has written to. A missing disk is no error. Raises OSError."""

    async def replace(self, directory: Path, frozen: Frozen) -> DiskKind:
        """Replace the disk by a new, empty disk above a frozen disk. All or nothing. Returns how it was made. Raises
        `insufficient_disk`, `vmm_failed`, `frozen_damaged`, `unsupported`."""

    async def tidy(self, directory: Path) -> None:
        """Remove files of an interrupted change of the disk. Raises `frozen_damaged`, OSError."""

    async def sync(self, directory: Path) -> None:
        """Sync the disk's files: from then on, what the guest syncs survives a power failure of the host. Raises
        `frozen_damaged`, `vmm_failed`, `insufficient_disk`."""

    async def flatten(self, directory: Path, target: Path) -> None:
        """Write the disk with all layers below it to one raw file. Raises `tool_failed`, `insufficient_disk`."""
