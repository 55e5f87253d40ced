"""What Firecracker counts: every minute it writes a line of JSON to a pipe of the VM's. Of all this, banger takes the
number of failed accesses to the disk, which Firecracker tells in no other way.

A VMM that its guest has taken over may write anything there, at any speed. So a line has a bound, and what is no such
line counts for nothing; between two reads there is a pause, during which the pipe fills and the writer is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

from banger.model.sizes import KIB, MIB

# A line of a VM with two disks and a network interface has 9 KiB.
LONGEST_LINE = 128 * KIB
# For the minutes in which no daemon reads; what does not fit, Firecracker does not tell.
_PIPE_BYTES = MIB
_READ_BYTES = 64 * KIB
_PAUSE_S = 0.5
_DISKS = ("block_root", "block")
# Requests that failed on the host, and requests without a result.
_FAILURES = ("invalid_reqs_count", "execute_fails")
_MOST = 1 << 32


class Metrics:
    """Lives as long as the connection to its VMM. Reads from when it is made, in the running loop, since the pipe is
    small: `watch` may come later. Without the pipe (a VM that an earlier version started) it is silent."""

    def __init__(self, pipe: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines = Lines()
        self._failures = 0
        self._on_failed: Callable[[str], None] | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._fd = _open(pipe)
        if self._fd is not None:
            self._loop.add_reader(self._fd, self._read)

    def watch(self, on_failed: Callable[[str], None]) -> None:
        """Call `on_failed`, with the reason, for failures since the VMM was connected to, and for all that follow."""
        self._on_failed = on_failed
        if self._failures:
            on_failed(describe(self._failures))

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = None

    def _read(self) -> None:
        assert self._fd is not None
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        if not data:  # the VMM has ended
            self.close()
            return
        self._loop.remove_reader(self._fd)
        self._pause = self._loop.call_later(_PAUSE_S, self._read_on)
        for line in self._lines.feed(data):
            found = failures_of(line)
            if found:
                self._failures += found
                if self._on_failed is not None:
                    self._on_failed(describe(found))

    def _read_on(self) -> None:
        if self._fd is not None:
            self._loop.add_reader(self._fd, self._read)


class Lines:
    """Lines from pieces. A line that is too long is left out."""

    def __init__(self) -> None:
        self._begun = b""
        self._is_too_long = False

    def feed(self, data: bytes) -> list[bytes]:
        *ended, rest = data.split(b"\n")
        found = []
        for piece in ended:
            line = self._begun + piece
            if not self._is_too_long and len(line) <= LONGEST_LINE:
                found.append(line)
            self._begun, self._is_too_long = b"", False
        self._begun += rest
        if len(self._begun) > LONGEST_LINE:
            self._begun, self._is_too_long = b"", True
        return found


def failures_of(line: bytes) -> int:
    """How many accesses to the root disk failed since the line before; 0 for what is no line of Firecracker's."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return 0
    disks = [told.get(name) for name in _DISKS] if isinstance(told, dict) else []
    counts = next((disk for disk in disks if isinstance(disk, dict)), {})
    numbers = [counts.get(name) for name in _FAILURES]
    return sum(min(number, _MOST) for number in numbers if type(number) is int and number > 0)


def describe(failures: int) -> str:
    return f"Firecracker counted {failures} failed requests, and does not say why"


def make_pipe(path: Path) -> None:
    """Raises OSError."""
    os.mkfifo(path, 0o600)


def _open(path: Path) -> int | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    with contextlib.suppress(OSError):  # this user has many large pipes
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return fd
