"""How long a file may become that QEMU writes (disk, logs, memory, states of devices): a resource limit of its process.

The soft limit fits the disk as it is, and is raised when the disk grows; the hard one fits the largest disk that there
may be. A guest that is what it seems never meets either: the file of a disk is hardly longer than the disk, and twice
as long only after writes and discards in an order that somebody has sought. A write beyond fails, and the VMM goes on:
the signal of it is ignored (see `host.spawn`), and the guest sees an error of its disk.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable

from banger.host.proc import ProcessRef
from banger.model.sizes import GIB
from banger.vmm.qemu.overlay import MAX_DISK_BYTES

# Logs are cut at some MiB; a device state is smaller still.
_LEAST_BYTES = GIB


def longest_file(disk_bytes: int, memory_bytes: int) -> int:
    """In bytes, of a VMM with such a disk."""
    return max(2 * disk_bytes, memory_bytes) + _LEAST_BYTES


LONGEST_EVER = longest_file(MAX_DISK_BYTES, 0)


def hold_files(process: ProcessRef, size_bytes: int) -> None:
    """To that length, from now on."""
    _set_soft(process, lambda _: size_bytes)


def allow_files(process: ProcessRef, size_bytes: int) -> None:
    """Of that length, too."""
    _set_soft(process, lambda soft: max(soft, size_bytes))


def _set_soft(process: ProcessRef, choose: Callable[[int], int]) -> None:
    """Within its hard limit, which a VMM of an earlier version lacks. A process that has ended is fine."""
    with contextlib.suppress(ProcessLookupError):
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        if hard != resource.RLIM_INFINITY:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (min(choose(soft), hard), hard))
