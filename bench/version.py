"""What the command line costs before it does anything."""

from __future__ import annotations

import sys
from functools import partial

from bench.noise import difference, in_turns, timed_ms
from bench.place import BANGER, call
from bench.table import Row


def measure() -> list[Row]:
    actions = {
        "banger": partial(timed_ms, partial(call, BANGER, "--version")),
        "python": partial(timed_ms, partial(call, sys.executable, "-c", "pass")),
    }
    taken = in_turns(actions, runs=30)
    return [
        Row("python -c pass", "ms", taken["python"]),
        Row("banger --version, on top of that", "ms", difference(taken["banger"], taken["python"]), aim=60),
    ]
