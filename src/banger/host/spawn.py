"""Start a process that outlives us: a VMM.

It leads a session of its own, gets /dev/null as stdin, a log file as output, and has next to nothing in its
environment but a marker by which a later process finds it even if we died before its pid was written down.

It is in its control groups before its program begins: a shell enters them, then becomes the program. Nothing else can
be done between fork and exec in a process with threads; and who is moved later leaves memory accounted where it was.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from banger.environment import for_vmms
from banger.errors import Error
from banger.host.proc import ProcessRef, child_ref

log = logging.getLogger("banger.spawn")

MARKER = "BANGER_RESOURCE"
_ENTER = 'set -e; while [ "$1" != -- ]; do echo 0 >"$1"; shift; done; shift; exec "$@"'


def spawn_detached(
    argv: Sequence[str],
    *,
    marker: str,
    output: Path,
    cwd: Path,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
    entrances: Sequence[Path] = (),
    bounds: Mapping[int, int] | None = None,
) -> ProcessRef:
    """Start it, inside of the control groups with those `entrances`, and return who it is. `bounds` are resource limits
    by their `RLIMIT_` numbers: soft and hard alike, never above what it would have anyway. Raises `tool_missing` when
    the program is not there."""
    if entrances:
        argv = ["/bin/sh", "-c", _ENTER, "enter", *map(str, entrances), "--", *argv]
    log.debug("spawn: %s", shlex.join(argv))
    with open(output, "ab") as sink:
        try:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env={**_environment(), **(environment or {}), MARKER: marker},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                pass_fds=pass_fds,
                restore_signals=False,  # a write beyond its limit fails, and does not end it (SIGXFSZ)
            )
        except FileNotFoundError as exc:
            raise Error("tool_missing", f"{argv[0]} is not installed", "run make setup") from exc
    _bound(process.pid, {resource.RLIMIT_CORE: 0, **(bounds or {})})
    # Reaped by host.proc, not by Popen: it must not warn, or wait, when collected.
    process.returncode = 0
    return child_ref(process.pid)


def _environment() -> dict[str, str]:
    """Next to nothing: a VMM is the first that hostile code sees of the host."""
    return {"PATH": os.defpath, **for_vmms(os.environ), "LANG": "C.UTF-8"}


def _bound(pid: int, bounds: Mapping[int, int]) -> None:
    """A moment after its program began: before a guest of it can have done anything."""
    with contextlib.suppress(ProcessLookupError):
        for kind, value in bounds.items():
            _, hard = resource.prlimit(pid, kind)
            if hard == resource.RLIM_INFINITY or hard > value:
                hard = value
            resource.prlimit(pid, kind, (hard, hard))
