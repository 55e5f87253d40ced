"""A whole cold `vm run` against the floor, in turns."""

from __future__ import annotations

from functools import partial

from banger.host.paths import Paths
from bench.floor import Floor
from bench.noise import in_turns, ratio, timed_ms
from bench.place import IMAGE, banger
from bench.table import Row


def measure() -> list[Row]:
    run = partial(banger, "vm", "run", "--rm", "--cold", IMAGE, "--", "true")
    taken = in_turns({"run": partial(timed_ms, run), "floor": Floor(Paths.user().kernels).boot_ms}, runs=12)
    return [
        Row("plain QEMU to the first byte of an init", "ms", taken["floor"]),
        Row("banger vm run --rm --cold, a whole process", "ms", taken["run"]),
        Row("the second over the first", "x", ratio(taken["run"], taken["floor"]), aim=1.3),
    ]
