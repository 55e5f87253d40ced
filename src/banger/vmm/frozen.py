"""Frozen VMs: only their driver knows which files they consist of.

A frozen VM is a directory. Its files are never written to again; clones share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Frozen:
    """Memory, state of the devices and root disk of a VM, in files of `directory` that only the driver knows."""

    directory: Path


class FrozenFiles(Protocol):
    """`members`: names of the files that a bundle of a frozen VM has, exactly these."""

    @property
    def members(self) -> tuple[str, ...]: ...

    def parts(self, frozen: Frozen) -> list[str]:
        """Names of all files that the frozen VM consists of. Blocking. Raises OSError."""

    def state_parts(self) -> tuple[str, ...]:
        """Names of the files that a capture writes: without those of the disk, which may be large and are shared."""

    async def pack(self, frozen: Frozen, directory: Path) -> None:
        """Write the `members` to `directory`, which is empty; they depend on no other files. Raises `tool_failed`,
        `insufficient_disk`, `vmm_failed`."""

    def check_member(self, path: Path, disk_limit_bytes: int) -> None:
        """Check a stranger's file before a VMM reads it: it must depend on no other file, and a disk in it must not be
        larger than `disk_limit_bytes`. Blocking. Raises `snapshot_invalid`, OSError."""
