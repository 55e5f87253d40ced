"""Cold boots in a row: every one must come up."""

from __future__ import annotations

import subprocess
import sys
import time

from bench.noise import sample
from bench.place import BANGER, IMAGE
from bench.table import Row


def measure(count: int = 20) -> list[Row]:
    times, failures = [], 0
    for number in range(count):
        begun = time.perf_counter()
        argv = [BANGER, "vm", "run", "--rm", "--cold", IMAGE, "--", "true"]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        times.append(time.perf_counter() - begun)
        if done.returncode:
            failures += 1
            print(f"bench: boot {number + 1} ended with {done.returncode}: {done.stderr}", file=sys.stderr)
    return [
        Row("cold boots in a row", "s", sample(times)),
        Row(f"cold boots of {count} that failed", "", sample([failures]), aim=0),
    ]
