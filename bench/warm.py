"""A whole warm `vm run` against podman and runc, in turns: with a clone that waits for it, and without a pool.

Every turn begins when the last one has left nothing to do: no clone that the pool makes anew, no process that cleans up
behind a container. Runs back to back have no such rest.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.noise import Sample, in_turns, ratio, sample
from bench.place import NO_POOL, own_daemon, wait_for_clone
from bench.podman import Podman, open_podman
from bench.run import Runs
from bench.table import Row

REST_S = 0.2
ACTION = "banger vm run --rm, a whole process"


def measure(count: int = 50) -> list[Row]:
    with _podman_if_root() as podman:
        with own_daemon():
            rows = _with_pool(podman, count) + _back_to_back(count)
        with own_daemon(NO_POOL):
            return rows + _without_pool(podman, count)


def _with_pool(podman: Podman | None, count: int) -> list[Row]:
    runs = Runs()
    actions = {"run": runs.whole_ms}
    if podman:
        actions |= {"podman": podman.run_ms, "isolated": lambda: podman.run_ms("--network", "none")}
    taken = in_turns({name: _rested(action, wait_for_clone) for name, action in actions.items()}, count)
    rows = [
        *_podman_rows("pool on", podman, taken),
        *_with_p95(f"pool on, once a clone waits: {ACTION}", taken["run"]),
    ]
    if podman:
        rows += [
            Row("pool on: that over podman", "x", ratio(taken["run"], taken["podman"]), aim=0.40),
            Row("pool on: that over podman without a network", "x", ratio(taken["run"], taken["isolated"])),
        ]
    missed = sample([runs.without_waiting(count)])
    return [
        *rows,
        Row(f"pool on: runs of {count} that no clone waited for", "", missed, aim=0),
        *runs.phase_rows("pool on", count),
    ]


def _back_to_back(count: int) -> list[Row]:
    runs = Runs()
    taken = in_turns({"run": runs.whole_ms}, count)["run"]
    return [
        *_with_p95(f"pool on, back to back: {ACTION}", taken),
        Row(
            f"pool on, back to back: runs of {count} that no clone waited for",
            "",
            sample([runs.without_waiting(count)]),
        ),
    ]


def _without_pool(podman: Podman | None, count: int) -> list[Row]:
    runs = Runs()
    actions = {"run": runs.whole_ms}
    if podman:
        actions["podman"] = podman.run_ms
    taken = in_turns({name: _rested(action) for name, action in actions.items()}, count)
    rows = [*_podman_rows("pool off", podman, taken), *_with_p95(f"pool off: {ACTION}", taken["run"])]
    if podman:
        rows.append(Row("pool off: that over podman", "x", ratio(taken["run"], taken["podman"])))
    return [*rows, *runs.phase_rows("pool off", count)]


def _podman_rows(kind: str, podman: Podman | None, taken: dict[str, Sample]) -> list[Row]:
    if not podman:
        return []
    storage = "" if podman.driver == "overlay" else f" ({podman.driver}, as overlay is impossible here)"
    rows = _with_p95(f"{kind}: podman run --rm{storage}", taken["podman"])
    if "isolated" in taken:
        rows += _with_p95(f"{kind}: podman run --rm --network none{storage}", taken["isolated"])
    return rows


def _with_p95(name: str, taken: Sample) -> list[Row]:
    return [Row(name, "ms", taken), Row(f"{name}, p95", "ms", sample([taken.p95]))]


def _rested(action: Callable[[], float], rest: Callable[[], object] = lambda: None) -> Callable[[], float]:
    def rested() -> float:
        rest()
        time.sleep(REST_S)
        return action()

    return rested


@contextmanager
def _podman_if_root() -> Iterator[Podman | None]:
    """None, and a word about it, where we may not."""
    if os.geteuid():
        print("bench: only root can compare with podman, whose bridge needs it", file=sys.stderr)
        yield None
        return
    with open_podman() as podman:
        yield podman
