"""Limits in time that hold on a busy host, too: as much longer as any process takes now.

A limit says what a quiet host keeps. Where others want the processors, a process gets its work done later, and how much
later is measured in the same run: its time on the clock against the time that it computed. A fault that a limit is for
costs time without computing, or much more of it, and is found all the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PROBES = 3


def strain() -> float:
    """How many times longer than it computes a short process takes at this moment; 1 on a quiet host."""
    return max(1.0, *(_probe() for _ in range(_PROBES)))


def _probe() -> float:
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", "sum(range(500_000))"])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return (time.monotonic() - begun) / (used.ru_utime + used.ru_stime)


def allowed_s(limit_s: float) -> float:
    """The limit, as of now. In `assert spent < allowed_s(2)` the spent time is read first."""
    return limit_s * strain()


@contextmanager
def at_most(limit_s: float, what: str) -> Iterator[None]:
    """The busier of the moments before and after counts."""
    before = strain()
    begun = time.monotonic()
    yield
    spent = time.monotonic() - begun
    if spent >= limit_s:
        assert spent < limit_s * max(before, strain()), f"{what} took {spent:.2f} s"
