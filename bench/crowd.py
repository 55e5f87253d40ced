"""Many whole `vm run` at once, more than the host has processors: what the slow ones take, and how many end a second.

Each round begins with a pool at rest, which is one clone for all of them.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

from bench.noise import sample, timed_ms
from bench.place import IMAGE, banger, own_daemon, wait_for_clone
from bench.table import Row

ROUNDS = 3


def measure(count: int = 20) -> list[Row]:
    medians, slow, rates = [], [], []
    with own_daemon():
        for _ in range(ROUNDS):
            wait_for_clone()
            begun = time.perf_counter()
            with ThreadPoolExecutor(count) as threads:
                taken = sample([*threads.map(lambda _: timed_ms(_run), range(count))])
            rates.append(count / (time.perf_counter() - begun))
            medians.append(taken.median)
            slow.append(taken.p95)
    crowd = f"{count} runs at once on {os.cpu_count()} processors"
    return [
        Row(f"{crowd}, the median of whole processes", "ms", sample(medians)),
        Row(f"{crowd}, the p95 of whole processes", "ms", sample(slow)),
        Row(f"{crowd}", "runs/s", sample(rates)),
    ]


def _run() -> None:
    banger("vm", "run", "--rm", IMAGE, "--", "true")
