"""The process of the daemon when its socket is gone: found, told to listen again, and waited for.

A program that cleans up the run directory may remove the socket of a daemon that lives on. The daemon has written its
pid and start time into the lock file beside its store, which no such program touches.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import time

from banger import places

LISTEN_ANEW = signal.SIGUSR1
LOCK = "daemon.lock"
_POLL_S = 0.01


class Incumbent:
    """A living process, held by a pidfd, so that it cannot be confused with another. A context manager."""

    def __init__(self, pid: int, fd: int) -> None:
        self.pid = pid
        self._fd = fd

    def __enter__(self) -> Incumbent:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def ask_to_listen(self) -> None:
        self._send(LISTEN_ANEW)

    def ask_to_end(self) -> None:
        self._send(signal.SIGTERM)

    def wait_gone(self, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def wait_collected(self, timeout_s: float) -> None:
        """Wait until the pid of the ended process is free. Its parent may take a moment to collect it, or never do
        so."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            try:
                signal.pidfd_send_signal(self._fd, 0)
            except (ProcessLookupError, PermissionError):
                return
            time.sleep(_POLL_S)

    def _send(self, signo: signal.Signals) -> None:
        try:
            signal.pidfd_send_signal(self._fd, signo)
        except ProcessLookupError:
            return


def find_incumbent() -> Incumbent | None:
    """The daemon whose pid is in the lock file beside the store, if it lives."""
    try:
        with open(f"{places.state_directory()}/{LOCK}", encoding="ascii") as file:
            pid, start = map(int, file.read(64).split())
    except (OSError, ValueError):
        return None
    return _hold(pid, start)


def who_listens(connection: socket.socket) -> Incumbent | None:
    """The process at the other end; None if that cannot be known, as in another PID namespace."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid = struct.unpack("3i", credentials)[0]
    return _hold(pid, None)


def _hold(pid: int, start: int | None) -> Incumbent | None:
    if pid <= 0:
        return None
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return None
    incumbent = Incumbent(pid, fd)
    if incumbent.wait_gone(0) or (start is not None and _start_of(pid) != start):
        os.close(fd)
        return None
    return incumbent


def _start_of(pid: int) -> int:
    """The start time in clock ticks since boot; 0 if the process is gone. The name in brackets before it may contain
    any character."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
