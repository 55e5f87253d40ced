"""`vm cp` of one large file: the whole process on the host, from start to exit code."""

from __future__ import annotations

import os
import shutil
from functools import partial

from bench.noise import in_turns, timed_ms
from bench.place import BUILD, banger, machine
from bench.table import Row

_MIB = 100
_RUNS = 5
_AIM_MB_PER_S = 60


def measure() -> list[Row]:
    directory = BUILD / "copying"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        (directory / "in").write_bytes(os.urandom(1 << 20) * _MIB)
        with machine("bench-cp") as one, machine("bench-cp-2") as other:
            ways = {
                "into a machine": (str(directory / "in"), f"{one}:/root/copy"),
                "out of a machine": (f"{one}:/root/copy", str(directory / "out")),
                "from machine to machine": (f"{one}:/root/copy", f"{other}:/root/copy"),
            }
            actions = {
                name: partial(timed_ms, partial(banger, "vm", "cp", *way)) for name, way in ways.items()
            }
            taken = in_turns(actions, runs=_RUNS)
    finally:
        shutil.rmtree(directory)
    aim = _MIB * (1 << 20) / (_AIM_MB_PER_S * 1e6) * 1000
    return [
        Row(f"banger vm cp of {_MIB} MiB {name}", "ms", samples, aim if "to machine" not in name else None)
        for name, samples in taken.items()
    ]
