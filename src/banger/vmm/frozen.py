"""What a driver knows of a frozen VM, and nobody above it: which files it consists of.

A frozen VM is a directory. None of its files is ever written to again; clones share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Frozen:
    """Memory, state of the devices, root disk: in `directory`, in files that only the driver knows."""

    directory: Path


class FrozenFiles(Protocol):
    """`members` are the names of the files by which a frozen VM travels, all of them and nothing else."""

    @property
    def members(self) -> tuple[str, ...]: ...

    def parts(self, frozen: Frozen) -> list[str]:
        """The names of all files that it consists of. Blocking. Raises OSError."""

    def state_parts(self) -> tuple[str, ...]:
        """The names of those that are written by a capture: not the disk's, which may be large and are shared."""

    async def pack(self, frozen: Frozen, directory: Path) -> None:
        """Have its members in `directory`, an empty one: files that depend on no others. Raises `tool_failed`,
        `insufficient_disk`, `vmm_failed`."""

    def check_member(self, path: Path, disk_limit_bytes: int) -> None:
        """Of a stranger's file, before a VMM sees it: that it depends on no other file, and shows a guest no larger
        disk than that. Blocking. Raises `snapshot_invalid`, OSError."""
