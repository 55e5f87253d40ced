"""A control group: made, given limits, entered, emptied, removed. It outlives the daemon; its record leads back to it.

The files with limits are those of version 2 or of version 1, depending on the version that has the controller.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from banger.host.delegation import CONTROLLERS, Delegation
from banger.host.proc import kill_and_wait, ref_of

_MEMORY_LIMITS = ("memory.max", "memory.limit_in_bytes")
# Version 1 shows such a number if there is no limit.
_NO_LIMIT = 1 << 62
_PERIOD_US = 100_000
_LEAST_QUOTA_US = 1_000
# Processes may start others before they are killed.
_KILL_ROUNDS = 5
_REMOVE_TRIES = 200
_REMOVE_POLL_S = 0.01


@dataclass(frozen=True)
class Group:
    """`directories` has the directory of each controller; under version 2, all controllers have the same one."""

    directories: dict[str, Path]

    @classmethod
    def of_identity(cls, identity: Mapping[str, str | int]) -> Group:
        """Read back what `identity` wrote."""
        return cls({name: Path(str(identity[name])) for name in CONTROLLERS if name in identity})

    @property
    def identity(self) -> dict[str, str | int]:
        return {name: str(directory) for name, directory in self.directories.items()}

    @property
    def paths(self) -> list[Path]:
        return list(dict.fromkeys(self.directories.values()))

    def version(self, controller: str) -> int:
        return 2 if (self.directories[controller] / "cgroup.controllers").exists() else 1

    def entrances(self) -> list[Path]:
        """The files to which a process with one thread writes `0` to enter the group. Version 1 moves a thread in
        microseconds; it moves a whole process only while no other process of the host is about to start, which takes
        some 10 ms."""
        return [
            path / ("cgroup.procs" if (path / "cgroup.controllers").exists() else "tasks")
            for path in self.paths
        ]

    def make(self) -> None:
        for path in self.paths:
            path.mkdir(mode=0o755, exist_ok=True)

    def limit_memory(self, limit_bytes: int) -> None:
        """Raises OSError: EBUSY when the group uses more memory than the kernel can take back."""
        self._write("memory", _MEMORY_LIMITS, str(limit_bytes))

    def memory_limit_bytes(self) -> int:
        """The limit in bytes; 0 if there is none, or it cannot be read."""
        directory = self.directories.get("memory")
        if directory is None:
            return 0
        for name in _MEMORY_LIMITS:
            with contextlib.suppress(OSError, ValueError):  # ValueError: "max"
                found = int((directory / name).read_text())
                return found if found < _NO_LIMIT else 0
        return 0

    def limit_cpu(self, processors: float) -> None:
        quota_us = max(_LEAST_QUOTA_US, round(processors * _PERIOD_US))
        directory = self.directories["cpu"]
        if (directory / "cpu.max").exists():
            (directory / "cpu.max").write_text(f"{quota_us} {_PERIOD_US}")
        else:
            (directory / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (directory / "cpu.cfs_quota_us").write_text(str(quota_us))

    def limit_pids(self, count: int) -> None:
        """Limit the number of processes and threads."""
        self._write("pids", ("pids.max",), str(count))

    def add(self, pid: int) -> None:
        """Move a running process into the group, with all its threads."""
        for path in self.paths:
            (path / "cgroup.procs").write_text(str(pid))

    def processes(self) -> list[int]:
        found: set[int] = set()
        for path in self.paths:
            try:
                found.update(int(line) for line in (path / "cgroup.procs").read_text().split())
            except OSError:
                continue
        return sorted(found)

    def memory_kills(self) -> int:
        """How many processes the kernel has killed because the memory limit was reached."""
        directory = self.directories.get("memory")
        for name in ("memory.events", "memory.oom_control"):
            try:
                lines = (directory / name).read_text().splitlines() if directory else []
            except OSError:
                continue
            return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
        return 0

    async def remove(self) -> None:
        """Kill all processes in the group and remove it. A group that does not exist is no error. Raises OSError when a
        process stays in it."""
        for _ in range(_KILL_ROUNDS):
            refs = [ref for pid in self.processes() if pid != os.getpid() and (ref := ref_of(pid))]
            if not refs:
                break
            if not all([await kill_and_wait(ref) for ref in refs]):
                break
        for path in self.paths:
            await _remove_directory(path)

    def _write(self, controller: str, names: tuple[str, ...], value: str) -> None:
        directory = self.directories[controller]
        known = next((name for name in names if (directory / name).exists()), names[-1])
        (directory / known).write_text(value)


def group_prefix(state: Path) -> str:
    """The beginning of the names of all groups that belong to a state directory: several daemons may use one tree."""
    return f"banger-{hashlib.sha256(os.fsencode(state)).hexdigest()[:8]}-"


def plan_group(delegation: Delegation, name: str) -> Group:
    """A group with all controllers that are delegated to this process; possibly none."""
    return Group({controller: base / name for controller, base in delegation.bases.items()})


async def _remove_directory(path: Path) -> None:
    """Remove it. The kernel counts an ended process as a member for a moment, so removal is tried again."""
    for tries in range(_REMOVE_TRIES + 1):
        try:
            os.rmdir(path)
            return
        except FileNotFoundError:
            return
        except OSError as exc:
            if exc.errno != errno.EBUSY or tries == _REMOVE_TRIES:
                raise
        await asyncio.sleep(_REMOVE_POLL_S)
