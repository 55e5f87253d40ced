"""What the jail adds to the start of a VMM: starts the same program alternately in a jail of all layers that this host
has, and through a shell that confines nothing."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from banger.host.jail import Jail
from banger.host.proc import reap
from banger.host.spawn import spawn_detached
from bench.noise import difference, in_turns, timed_ms
from bench.table import Row

_PROGRAM = "/bin/true"
_SHELL = ["/bin/sh", "-c", 'exec "$@"', "enter", _PROGRAM]
_TIMES = 100


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="banger-bench-") as name:
        directory = Path(name)
        read = tuple(directory / f"file-{number}" for number in range(6))  # as for the VMM of a clone
        for file in read:
            file.touch()
        user = 0x7000_0001 if os.geteuid() == 0 else None
        jail = Jail(read=read, write=(directory,), user=user)

        def in_jail() -> None:
            _wait(
                spawn_detached(
                    [_PROGRAM], marker="bench", output=directory / "log", cwd=directory, jail=jail
                ).pid
            )

        def by_shell() -> None:
            subprocess.run(
                _SHELL, stdin=subprocess.DEVNULL, cwd=directory, start_new_session=True, check=True
            )

        taken = in_turns({"jail": lambda: timed_ms(in_jail), "shell": lambda: timed_ms(by_shell)}, _TIMES)
    added = difference(taken["jail"], taken["shell"])
    return [Row("jail of a VMM, beyond a shell that starts it", "ms", added, aim=3)]


def _wait(pid: int) -> None:
    while reap(pid) is None:
        os.sched_yield()
