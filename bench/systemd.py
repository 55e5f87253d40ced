"""A whole `vm run` with the image's systemd as process 1: cold, as a clone, and as a clone that waited.

A run begins its command when systemd is up.
"""

from __future__ import annotations

from bench.noise import Sample, in_turns, ratio, sample
from bench.place import NO_POOL, own_daemon, wait_for_clone
from bench.run import Runs
from bench.table import Row

COLD_RUNS = 5
# A run goes on without its init when the time for booting is over; that would be no measurement.
_OPTIONS = ("--init", "image", "--boot-timeout", "10m")


def measure(count: int = 20) -> list[Row]:
    """`count` warm runs of each kind."""
    cold, clone, waiting = Runs(*_OPTIONS, "--cold"), Runs(*_OPTIONS), Runs(*_OPTIONS)
    compared = min(COLD_RUNS, count)
    with own_daemon(NO_POOL):
        taken = in_turns({"cold": cold.whole_ms, "clone": clone.whole_ms}, compared)
        clones = [*taken["clone"].values, *(clone.whole_ms() for _ in range(count - compared))]
    with own_daemon():
        waiting.whole_ms()
        waited = [_rested_ms(waiting) for _ in range(count)]
    return [
        Row("systemd: a cold boot, a whole process", "ms", taken["cold"]),
        Row("systemd: a clone, a whole process", "ms", Sample(tuple(clones))),
        Row("systemd: a clone over a cold boot", "x", ratio(taken["clone"], taken["cold"])),
        Row("systemd: a clone that waited, a whole process", "ms", Sample(tuple(waited))),
        Row(
            f"systemd: runs of {count} that no clone waited for",
            "",
            sample([waiting.without_waiting(count)]),
            aim=0,
        ),
        *cold.phase_rows("systemd, cold", compared),
        *clone.phase_rows("systemd, a clone", count),
        *waiting.phase_rows("systemd, a clone that waited", count),
    ]


def _rested_ms(runs: Runs) -> float:
    wait_for_clone("image")
    return runs.whole_ms()
