"""Start a process that outlives the daemon: a VMM.

The process leads a session of its own, with /dev/null as stdin and a log file as output. Its environment holds next to
nothing but a marker, by which a later daemon finds the process even if this daemon ended before it recorded the pid.

The process is in its control groups before its program begins: a shell enters them, then becomes the program. A process
with threads cannot do anything else between fork and exec; and memory that a process takes before it is moved stays
accounted to its old group.
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
    """Start the program inside the control groups with those `entrances`, and return the identity of its process.
    `bounds` are resource limits by their `RLIMIT_` numbers, soft and hard alike, and never above the limits
    that the process would have anyway. Raises `tool_missing` if there is no such program."""
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
    # host.proc collects the process, not Popen, whose finaliser would warn or wait.
    process.returncode = 0
    return child_ref(process.pid)


def _environment() -> dict[str, str]:
    """Next to nothing: a VMM is what hostile code in a guest sees first of the host."""
    return {"PATH": os.defpath, **for_vmms(os.environ), "LANG": "C.UTF-8"}


def _bound(pid: int, bounds: Mapping[int, int]) -> None:
    """Set the limits a moment after the program began: before its guest can have done anything."""
    with contextlib.suppress(ProcessLookupError):
        for kind, value in bounds.items():
            _, hard = resource.prlimit(pid, kind)
            if hard == resource.RLIM_INFINITY or hard > value:
                hard = value
            resource.prlimit(pid, kind, (hard, hard))
