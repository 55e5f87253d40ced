"""A command in a running machine: the whole process on the host, from start to exit code."""

from __future__ import annotations

from functools import partial

from bench.noise import in_turns, timed_ms
from bench.place import banger
from bench.table import Row


def measure(machine: str) -> list[Row]:
    action = partial(timed_ms, partial(banger, "vm", "exec", machine, "--", "true"))
    taken = in_turns({"exec": action}, runs=20)
    return [Row("banger vm exec, a whole process", "ms", taken["exec"], aim=100)]
