"""The errors for files of a VM that cannot be written to or read, the same for all drivers."""

from __future__ import annotations

import errno
from pathlib import Path

from banger.errors import Error


def cannot_write(directory: Path, exc: OSError) -> Error:
    """The banger error for a failed write of a VM's files."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return Error("insufficient_disk", f"no space left in {directory}", "free space there, and try again")
    return Error("vmm_failed", f"cannot write to {directory}: {exc.strerror or exc}")


def cannot_read_disk(disk: Path, exc: OSError) -> Error:
    return Error(
        "vmm_failed",
        f"{disk}: {exc.strerror}",
        "restore a snapshot of the machine, or delete the machine: its files are damaged",
    )
