"""How long a file may become that QEMU writes (disk, logs, memory, states of devices): a resource limit of its process.

The soft limit fits the disk as it is, and is raised when the disk grows; the hard one fits the largest disk that there
may be. A guest that is what it seems never meets either: the file of a disk is hardly longer than the disk, and twice
as long only after writes and discards in an order that somebody has sought. A write beyond fails, and the VMM goes on:
the signal of it is ignored (see `host.spawn`), and the guest sees an error of its disk.
"""

from __future__ import annotations

import contextlib
import resource

from banger.host.proc import ProcessRef
from banger.model.sizes import GIB
from banger.vmm.qemu.overlay import MAX_DISK_BYTES

# Logs are cut at some MiB; a device state is smaller still.
_LEAST_BYTES = GIB
_CAP_SYS_RESOURCE = 24


def longest_file(disk_bytes: int, memory_bytes: int) -> int:
    """In bytes, of a VMM with such a disk."""
    return max(2 * disk_bytes, memory_bytes) + _LEAST_BYTES


LONGEST_EVER = longest_file(MAX_DISK_BYTES, 0)


def bound_of_files(size_bytes: int, user: int | None) -> tuple[int, int]:
    """Soft and hard limit of a VMM whose files need that length now and which runs as `user`, None for our own. The
    soft limit of another user's process can be raised later only with CAP_SYS_RESOURCE, which containers lack."""
    can_raise = user is None or bool(_capabilities() >> _CAP_SYS_RESOURCE & 1)
    return size_bytes if can_raise else LONGEST_EVER, LONGEST_EVER


def allow_files(process: ProcessRef, size_bytes: int) -> None:
    """Allow files of that length from now on. A process that has ended is fine, and so is one of a user whose limits we
    cannot set: it has had the longest length from its start."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        if hard != resource.RLIM_INFINITY:  # a VMM of an earlier version has no limit
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (min(max(soft, size_bytes), hard), hard))


def _capabilities() -> int:
    """Effective capabilities of this process, as a bit mask."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next((int(line.split()[1], 16) for line in status if line.startswith("CapEff:")), 0)
