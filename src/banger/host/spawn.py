"""Start a process that outlives the daemon: a VMM.

The process leads a session of its own, with /dev/null as stdin and a log file as output. Its environment holds next to
nothing but a marker, by which a later daemon finds the process even if this daemon ended before it recorded the pid.

The process is confined before its program begins, by a program that confines itself and then becomes the other one
(`jail`). A process with threads cannot do anything between fork and exec; and memory that a process takes before it is
moved into a control group stays accounted to its old group.
"""

from __future__ import annotations

import logging
import os
import resource
import select
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from banger.environment import for_vmms
from banger.errors import Error
from banger.host.jail import Bound, Jail, look, prepare_command
from banger.host.proc import ProcessRef, child_ref

log = logging.getLogger("banger.spawn")

MARKER = "BANGER_RESOURCE"
# Of the jail, which takes milliseconds.
_CONFINE_S = 30.0
_SAID_BYTES = 4096


def spawn_detached(
    argv: Sequence[str],
    *,
    marker: str,
    output: Path,
    cwd: Path,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
    entrances: Sequence[Path] = (),
    bounds: Mapping[int, Bound] | None = None,
    jail: Jail | None = None,
) -> ProcessRef:
    """Start the program inside the control groups with those `entrances` and in the `jail`, and return the
    identity of its process. `bounds` are resource limits by their `RLIMIT_` numbers, soft and hard alike, and
    never above the limits that the process would have anyway. Raises `tool_missing` if there is no such
    program, and `jail_failed` if the process cannot be confined."""
    log.debug("spawn: %s", shlex.join(argv))
    found = shutil.which(argv[0], path=os.defpath)
    if found is None:
        raise Error("tool_missing", f"{argv[0]} is not installed", "run make setup")
    reading, report = os.pipe()
    with open(reading, "rb") as reported, open(output, "ab") as sink:
        try:
            process = subprocess.Popen(
                prepare_command(
                    [found, *argv[1:]],
                    jail,
                    look(),
                    entrances=entrances,
                    bounds={resource.RLIMIT_CORE: 0, **(bounds or {})},
                    report=report,
                    directory=cwd,
                ),
                env={**_environment(), **(environment or {}), MARKER: marker},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                pass_fds=[*pass_fds, report],
                restore_signals=False,  # a write beyond its limit fails, and does not end it (SIGXFSZ)
            )
        finally:
            os.close(report)
        pid, failure = _read_report(reported.fileno())
    if pid != process.pid:
        process.wait()  # the jail's own first process: it has left another process behind, or has failed
    # host.proc collects the process, not Popen, whose finaliser would warn or wait.
    process.returncode = 0
    if pid is None:
        raise Error("jail_failed", f"{argv[0]} cannot be confined: {failure}", "banger doctor --check jail")
    return child_ref(pid)


def _read_report(reported: int) -> tuple[int | None, str]:
    """The process id that the jail tells when it is done; None and the reason if it failed."""
    ready, _, _ = select.select([reported], [], [], _CONFINE_S)
    if not ready:
        return None, f"the jail was not ready within {_CONFINE_S:g} s"
    said = os.read(reported, _SAID_BYTES).decode("utf-8", "replace").strip()
    return (int(said), "") if said.isdigit() else (None, said or "the jail ended without a reason")


def _environment() -> dict[str, str]:
    """Next to nothing: a VMM is what hostile code in a guest sees first of the host."""
    return {"PATH": os.defpath, **for_vmms(os.environ), "LANG": "C.UTF-8"}
