"""What a daemon with nothing to do costs."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

from bench.noise import sample
from bench.place import ask
from bench.table import Row

WATCHED_S = 10


def cpu_ms(pid: int) -> float:
    """User and system time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def status(pid: int, field: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split(f"\n{field}:")[1].split()[0])


def wake_ups(pid: int) -> Counter[int]:
    """Of each of its threads, by thread id."""
    tasks = [int(task) for task in os.listdir(f"/proc/{pid}/task")]
    return Counter({task: status(task, "voluntary_ctxt_switches") for task in tasks})


def measure() -> list[Row]:
    pid = int(ask("/v1/system")["daemon_pid"])
    time.sleep(1)
    cpu, wakes = cpu_ms(pid), wake_ups(pid)
    time.sleep(WATCHED_S)
    cpu = cpu_ms(pid) - cpu
    woken = wake_ups(pid) - wakes  # without threads that have ended: a difference below 0 is left out
    memory_mb = status(pid, "VmRSS") / 1024
    return [
        Row("daemon at rest, resident memory", "MB", sample([memory_mb]), aim=60),
        Row(f"daemon at rest, CPU in {WATCHED_S} s", "ms", sample([cpu]), aim=0),
        Row(f"daemon at rest, wake-ups in {WATCHED_S} s", "", sample([woken.total()])),
    ]
