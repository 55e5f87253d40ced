"""Start a process that outlives the daemon: a VMM.

The process leads a session of its own, with /dev/null as stdin and a log file as output. Its environment has hardly
more than a marker, by which a later daemon finds the process even if this daemon ended before it recorded the pid.

The jail (`jail`) confines itself and then executes the program, so the program is confined from its first instruction.
This daemon cannot do that itself: a process with threads can do almost nothing between fork and exec. Control groups
are entered early because memory that a process took before stays accounted to its old group.
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
from typing import BinaryIO

from banger.environment import for_vmms
from banger.errors import Error
from banger.host.foreign import open_to_write
from banger.host.jail import Bound, Jail, look, prepare_command
from banger.host.proc import ProcessRef, child_ref

log = logging.getLogger("banger.spawn")

MARKER = "BANGER_RESOURCE"
# Time-out for the jail, which needs some milliseconds.
_CONFINE_S = 30.0
_SAID_BYTES = 4096


def spawn_detached(
    argv: Sequence[str],
    *,
    marker: str,
    output: Path,
    cwd: Path,
    console: Path | None = None,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
    entrances: Sequence[Path] = (),
    bounds: Mapping[int, Bound] | None = None,
    jail: Jail | None = None,
) -> ProcessRef:
    """Start the program in the `jail`, inside the control groups with these `entrances`; return the identity of its
    process. The file `output` gets its stderr, and its stdout unless there is a `console`. `bounds` are resource limits
    by their `RLIMIT_` numbers; a bound never raises a limit that the process has already. Raises `tool_missing` if
    there is no such program, `jail_failed` if the process cannot be confined."""
    log.debug("spawn: %s", shlex.join(argv))
    found = shutil.which(argv[0], path=os.defpath)
    if found is None:
        raise Error("tool_missing", f"{argv[0]} is not installed", "banger doctor")
    reading, report = os.pipe()
    with (
        open(reading, "rb") as reported,
        _open_output(output) as sink,
        _open_output(console or output) as printed,
    ):
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
                stdout=printed,
                stderr=sink,
                start_new_session=True,
                pass_fds=[*pass_fds, report, *([jail.tap] if jail is not None and jail.tap >= 0 else [])],
                restore_signals=False,  # SIGXFSZ stays ignored: a too long write fails, no more
            )
        finally:
            os.close(report)
        pid, failure = _read_report(reported.fileno())
    if pid != process.pid:
        process.wait()  # the jail's first process: it left a child, or failed
    # host.proc reaps the process. Popen would warn or wait in its finaliser.
    process.returncode = 0
    if pid is None:
        raise Error("jail_failed", f"{argv[0]} cannot be confined: {failure}", "banger doctor --check jail")
    return child_ref(pid)


def spawn_unconfined(
    argv: Sequence[str], *, marker: str, output: Path, cwd: Path, pass_fds: Sequence[int] = ()
) -> ProcessRef:
    """As `spawn_detached`, for a program of ours that confines itself: it starts with all rights of the daemon. Raises
    `tool_missing`."""
    with _open_output(output) as sink:
        try:
            process = subprocess.Popen(
                argv,
                env={**_environment(), MARKER: marker},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                pass_fds=pass_fds,
                cwd=cwd,
            )
        except OSError as exc:
            raise Error("tool_missing", f"{argv[0]} does not start: {exc.strerror}", "banger doctor") from exc
    process.returncode = 0  # as above
    return child_ref(process.pid)


def _open_output(path: Path) -> BinaryIO:
    """An earlier VMM may have put something else in the place of its log."""
    return os.fdopen(open_to_write(path, os.O_WRONLY | os.O_APPEND), "ab")


def _read_report(reported: int) -> tuple[int | None, str]:
    """The process id that the jail writes when it is ready; None and the reason if the jail failed."""
    ready, _, _ = select.select([reported], [], [], _CONFINE_S)
    if not ready:
        return None, f"the jail was not ready within {_CONFINE_S:g} s"
    said = os.read(reported, _SAID_BYTES).decode("utf-8", "replace").strip()
    return (int(said), "") if said.isdigit() else (None, said or "the jail ended without a reason")


def _environment() -> dict[str, str]:
    """Little, because a VMM is what hostile code in a guest sees first of the host."""
    return {"PATH": os.defpath, **for_vmms(os.environ), "LANG": "C.UTF-8"}
