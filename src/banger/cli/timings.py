"""`--timings`: the time that each part of a run took, with banger's own part."""

from __future__ import annotations

import os
import sys
import time

# A run from a template has "template" (the wait for a clone) and "restore"; a booted one has "disk" to "agent".
_ORDER = (
    "create resolve template restore disk vmm kernel agent identity init exec run teardown total"
).split()


class Stopwatch:
    """Created just before the request is sent; reports when the answer is complete."""

    def __init__(self) -> None:
        self._start_up_ms = process_age_ms()
        self._begun = time.perf_counter()

    def report(self, timings_ms: dict[str, float]) -> None:
        whole_ms = self._start_up_ms + (time.perf_counter() - self._begun) * 1000
        rows = [("cli start", self._start_up_ms), *_in_order(timings_ms), ("cli whole", whole_ms)]
        for name, spent_ms in rows:
            print(f"{name:<10} {spent_ms:>9.1f} ms", file=sys.stderr)


def _in_order(timings_ms: dict[str, float]) -> list[tuple[str, float]]:
    known = [(name, timings_ms[name]) for name in _ORDER if name in timings_ms]
    return known + [(name, spent) for name, spent in timings_ms.items() if name not in _ORDER]


def process_age_ms() -> float:
    """Time since this process began; the kernel knows its start to 10 ms (proc(5), field 22)."""
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        begun_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - begun_s) * 1000
    except (OSError, ValueError, IndexError):
        return time.process_time() * 1000
