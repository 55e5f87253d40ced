"""Ending daemons and VMMs by SIGKILL, and starting the next daemon as any client would.

While a daemon is dead nobody can start another one: we hold the lock that clients take for it. That is where a later
step puts an older copy of the store in place (`while_no_daemon`).
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from banger.errors import Error
from banger.host.proc import ProcessRef, open_pidfd, reap, ref_of
from tests.crash.world import Process, World

_GONE_S = 10.0


def daemon_of(run: Path) -> ProcessRef | None:
    """The daemon that wrote its pid there, if it lives; it may still be starting."""
    try:
        found = ref_of(int((run / "daemon.pid").read_text()))
        command = Path(f"/proc/{found.pid}/cmdline").read_bytes() if found else b""
    except (OSError, ValueError):
        return None
    return found if b"banger.server.daemon" in command else None


@contextmanager
def no_new_daemon(run: Path) -> Iterator[None]:
    """Clients that find no daemon wait until the end of the block before they start one."""
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(run / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def kill_daemon(world: World) -> ProcessRef | None:
    """SIGKILL, and wait; the daemon that was, None when there was none."""
    daemon = daemon_of(world.run)
    if daemon is None:
        return None
    with no_new_daemon(world.run):
        kill(daemon)
        while_no_daemon(world)
    return daemon


def while_no_daemon(world: World) -> None:
    """The place for what only an outage makes possible. To come: the store as it was a while ago, a copy of it taken
    by `sqlite3.Connection.backup`, or of its file and WAL as they lay there, and then all that the model knew then."""


def kill_starting_daemon(world: World, delay_s: float) -> bool:
    """The one that comes up now, `delay_s` after it has shown up; False when none does."""
    end = time.monotonic() + _GONE_S
    while time.monotonic() < end:
        daemon = daemon_of(world.run)
        if daemon is not None:
            time.sleep(delay_s)
            kill(daemon)
            return True
        time.sleep(0.002)
    return False


def kill_vmm(process: Process) -> None:
    found = ref_of(process.pid)
    if found is not None:
        kill(found)


def kill(process: ProcessRef) -> None:
    """SIGKILL, and wait until the last of its threads is gone: sockets live that long. A daemon is our child when one
    of our threads started it."""
    pidfd = open_pidfd(process)
    if pidfd is None:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        if not select.select([pidfd], [], [], _GONE_S)[0]:
            raise Error("internal", f"process {process.pid} does not end")
    finally:
        os.close(pidfd)
    reap(process.pid)
