"""Processes of VMMs.

Identity: `marker` (in the process's environment), `boot` of the host, and once the process runs, `pid` and `start`. It
is killed by SIGKILL through a pidfd; without a pid, every process that has the marker is killed. A process of another
boot has ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from banger.errors import Error
from banger.host import cpu
from banger.host.fs import inode_of
from banger.host.paths import Paths
from banger.host.proc import (
    ProcessRef,
    all_marked,
    find_marked,
    kill_and_wait,
    output_directory,
    working_directory,
    working_inode,
)
from banger.host.spawn import MARKER
from banger.host.thread import in_thread
from banger.network.programs import NAMES
from banger.resources.kind import AGAIN, Found, Kind, Target
from banger.store.resources import Identity


class VmmProcess(Kind):
    name = "vmm"
    is_runtime = True

    async def release(self, identity: Identity) -> None:
        if is_of_earlier_boot(identity):
            return
        known = process_of(identity)
        marker = str(identity.get("marker", ""))
        for process in [known] if known else await in_thread(find_marked, MARKER, marker):
            if not await kill_and_wait(process):
                raise Error("not_released", f"process {process.pid} does not end, even with SIGKILL", AGAIN)

    def describe(self, identity: Identity) -> str:
        process = process_of(identity)
        return f"process {process.pid}" if process else f"process of {identity.get('marker', '')}"

    def find(self, paths: Paths) -> Iterator[Found]:
        """VMMs that were started from this home: they work in a directory below it, or write to a file there. The path
        tells where a directory was that has been removed, the inode which one it is, also where this process is in a
        chroot."""
        home = str(paths.state.resolve())
        inodes = set(_inodes_below(paths.machines, paths.templates))
        for process, marker in all_marked(MARKER):
            if marker in NAMES:  # of the network, which work below the home, too
                continue
            wheres = (working_directory(process).removesuffix(" (deleted)"), output_directory(process))
            is_below = any(where == home or where.startswith(home + "/") for where in wheres)
            if is_below or working_inode(process) in inodes:
                yield Found(self, "process", f"{process.pid} ({marker})", marker, process)

    async def remove(self, target: Target) -> bool:
        assert isinstance(target, ProcessRef)
        return await kill_and_wait(target)


def places_of(process: ProcessRef) -> Iterator[tuple[int, int]]:
    """Device and inode of the directories by which a VMM can be known: its working directory and, for a VMM with a root
    of its own, the directory of its output."""
    working = working_inode(process)
    if working is not None:
        yield working
    with contextlib.suppress(OSError):
        yield inode_of(output_directory(process))


def _inodes_below(*roots: Path) -> Iterator[tuple[int, int]]:
    """Device and inode of each directory in `roots`."""
    for root in roots:
        for directory in root.glob("*"):
            with contextlib.suppress(OSError):
                yield inode_of(directory)


def process_of(identity: Identity) -> ProcessRef | None:
    """The process that a record names, if its pid was recorded. After a reboot of the host, the pid belongs to another
    process."""
    if is_of_earlier_boot(identity):
        return None
    pid, start = identity.get("pid"), identity.get("start")
    return ProcessRef(pid, start) if isinstance(pid, int) and isinstance(start, int) else None


def is_of_earlier_boot(identity: Identity) -> bool:
    return identity.get("boot", cpu.boot_id()) != cpu.boot_id()
