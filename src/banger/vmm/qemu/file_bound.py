"""The longest file that QEMU may write (disk, logs, memory, states of devices): a resource limit of its process.

The soft limit fits the present disk, and is raised when the disk grows; the hard limit fits the largest possible disk.
An honest guest never meets either limit: the file of a disk is hardly longer than the disk, and twice as long only if
writes and discards come in an order that is meant to do so. A write beyond the limit fails and the VMM continues: it
ignores the signal (see `host.spawn`), and the guest sees an error of its disk.
"""

from __future__ import annotations

import contextlib
import resource

from banger.host.proc import ProcessRef
from banger.model.sizes import GIB
from banger.vmm.qemu.overlay import MAX_DISK_BYTES

# Logs are cut at some MiB; a state of devices is smaller still.
_LEAST_BYTES = GIB
_CAP_SYS_RESOURCE = 24


def longest_file(disk_bytes: int, memory_bytes: int) -> int:
    """Length in bytes of the longest file that a VMM with such a disk writes."""
    return max(2 * disk_bytes, memory_bytes) + _LEAST_BYTES


LONGEST_EVER = longest_file(MAX_DISK_BYTES, 0)


def bound_of_files(size_bytes: int, user: int | None) -> tuple[int, int]:
    """Soft and hard limit of a VMM whose files need that length now. `user`: the user that the VMM runs as, None for
    the daemon's. To raise the soft limit of another user's process needs CAP_SYS_RESOURCE, which containers lack."""
    can_raise = user is None or bool(_capabilities() >> _CAP_SYS_RESOURCE & 1)
    return size_bytes if can_raise else LONGEST_EVER, LONGEST_EVER


def allow_files(process: ProcessRef, size_bytes: int) -> None:
    """Allow files of that length from now on. Does nothing for a process that has ended, or for a process of a user
    whose limits the daemon may not set: that process has had the longest length from its start."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        if hard != resource.RLIM_INFINITY:  # a VMM of an earlier version has no limit
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (min(max(soft, size_bytes), hard), hard))


def _capabilities() -> int:
    """Effective capabilities of this process, as a bit mask."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next((int(line.split()[1], 16) for line in status if line.startswith("CapEff:")), 0)
