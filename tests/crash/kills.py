"""Ending daemons and VMMs by SIGKILL, and starting the next daemon as any client would.

While a daemon is dead nobody can start another one: we hold the lock that clients take for it. That is when an older
copy of the store can be put in the place of the store.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from banger.errors import Error
from banger.host.proc import ProcessRef, open_pidfd, reap, ref_of
from tests.crash.world import Process, World

_GONE_S = 10.0
_STORE = ("banger.db", "banger.db-wal")


def daemon_of(run: Path) -> ProcessRef | None:
    """The daemon that wrote its pid there, if it lives; it may still be starting."""
    try:
        found = ref_of(int((run / "daemon.pid").read_text()))
        command = Path(f"/proc/{found.pid}/cmdline").read_bytes() if found else b""
    except (OSError, ValueError):
        return None
    return found if b"banger.server.daemon" in command else None


@contextmanager
def no_new_daemon(state: Path) -> Iterator[None]:
    """Clients that find no daemon wait until the end of the block before they start one."""
    lock = os.open(state / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def kill_daemon(world: World, older: Path | None = None) -> ProcessRef | None:
    """SIGKILL, and wait; the daemon that was, None when there was none. The next one finds the store `older`."""
    daemon = daemon_of(world.run)
    if daemon is None:
        return None
    with no_new_daemon(world.state):
        kill(daemon)
        if older is not None:
            _put_back(older, world.state)
    return daemon


def copy_store(world: World) -> Path:
    """Its files as they lie there, under a daemon that writes to them: what any backup program does."""
    copy = world.home / "older"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for name in _STORE:
        with suppress(FileNotFoundError):
            shutil.copyfile(world.state / name, copy / name)
    return copy


def _put_back(older: Path, state: Path) -> None:
    for name in (*_STORE, f"{_STORE[0]}-shm"):
        (state / name).unlink(missing_ok=True)
    for path in older.iterdir():
        path.rename(state / path.name)


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
