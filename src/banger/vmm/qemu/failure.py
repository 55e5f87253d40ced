"""Why QEMU's files cannot be written, as an error of ours."""

from __future__ import annotations

import errno
from pathlib import Path

from banger.errors import Error


def cannot_write(directory: Path, exc: OSError) -> Error:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return Error("insufficient_disk", f"no space left in {directory}", "free space there, and try again")
    return Error("vmm_failed", f"cannot write to {directory}: {exc.strerror or exc}")
