"""Many live clones of 512 MiB that pause when nobody needs them: their memory, their idleness, and commands in them.

What a clone takes is the proportional memory of its VMM: pages that it shares with others count in equal parts. Clones
are fewer than asked for where the host's memory does not suffice; every row says how many there were.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from banger.client.sync import Client
from banger.host.cpu import available_memory_bytes
from banger.model.sizes import GIB
from bench.idle import WATCHED_S, cpu_ms
from bench.noise import difference, sample, timed_ms
from bench.place import IMAGE, ask, banger, own_daemon, poll, proportional_mb
from bench.table import Row

AT_A_TIME = 8
IDLE_PAUSE = "5s"
EXECS = 50
WAKES = 30
_RESERVE_BYTES = 3 * GIB


def measure(count: int = 200) -> list[Row]:
    with own_daemon():
        names = _make_clones(count)
        if len(names) < 2:
            raise SystemExit("bench: this host's memory does not suffice for two clones")
        return [
            *_memory(names),
            *_idleness(names),
            *_commands(names),
            *_waking(names),
        ]


def _make_clones(count: int) -> list[str]:
    """Their names; the host keeps memory for what else it does."""
    names: list[str] = []
    while len(names) < count and available_memory_bytes() > _RESERVE_BYTES:
        batch = [f"clone-{len(names) + number}" for number in range(min(AT_A_TIME, count - len(names)))]
        with ThreadPoolExecutor(AT_A_TIME) as threads:
            list(threads.map(_make_clone, batch))
        names += batch
    return names


def _make_clone(name: str) -> None:
    pause = ("--idle-pause", IDLE_PAUSE)
    banger("vm", "run", "-d", *pause, "--name", name, IMAGE, "--", "sleep", "infinity")


def _memory(names: Sequence[str]) -> list[Row]:
    client = Client()
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        for run in threads.map(lambda name: client.machines.exec(name, ["true"]), names):
            run.check()
    taken = sample([proportional_mb(machine["pid"]) for machine in ask("/v1/machines")])
    kind = f"{len(names)} clones, after a command in each"
    return [
        Row(f"{kind}: proportional memory of a VMM", "MB", taken),
        Row(f"{kind}: the mean of that", "MB", sample([statistics.fmean(taken.values)]), aim=30),
    ]


def _idleness(names: Sequence[str]) -> list[Row]:
    """Of the clones' VMMs and the daemon together."""
    for name in names:
        _wait_idle(name)
    pids = [ask("/v1/system")["daemon_pid"], *(machine["pid"] for machine in ask("/v1/machines"))]
    before = sum(map(cpu_ms, pids))
    time.sleep(WATCHED_S)
    spent_ms = sum(map(cpu_ms, pids)) - before
    share = spent_ms / (WATCHED_S * 1000) * 100
    return [
        Row(
            f"{len(names)} idle clones and the daemon, of one core in {WATCHED_S} s",
            "%",
            sample([share]),
            aim=2,
        )
    ]


def _commands(names: Sequence[str]) -> list[Row]:
    """In any of them, idle or not."""
    chance = random.Random(0)
    taken = sample([_exec_ms(chance.choice(names)) for _ in range(EXECS)])
    kind = f"banger vm exec in a random one of {len(names)}, a whole process"
    return [Row(kind, "ms", taken), Row(f"{kind}, p95", "ms", sample([taken.p95]))]


def _waking(names: Sequence[str]) -> list[Row]:
    """A command in an idle one, and then another in the same one, which is awake by then."""
    chosen = random.Random(0).sample(names, min(WAKES, len(names)))
    for name in chosen:
        _wait_idle(name)
    taken = [(_exec_ms(name), _exec_ms(name)) for name in chosen]
    idle, awake = (sample(side) for side in zip(*taken, strict=True))
    return [
        Row(f"banger vm exec in an idle one of {len(names)}", "ms", idle),
        Row(f"banger vm exec in an awake one of {len(names)}", "ms", awake),
        Row("waking: the difference", "ms", difference(idle, awake), aim=20),
    ]


def _exec_ms(name: str) -> float:
    return timed_ms(partial(banger, "vm", "exec", name, "--", "true"))


def _wait_idle(name: str) -> None:
    poll(f"{name} to be idle", lambda: bool(ask(f"/v1/machines/{name}")["idle"]))
