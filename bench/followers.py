"""Many followers of the daemon's events: how long an event takes until the last of them has it, what each of them takes
of the daemon's memory, and whether followers that do not read delay the others.

Events are an answer that does not end (`GET /v1/events?follow=true`), one connection a follower. All followers are in
one process of their own (`bench.following`), and what it takes to read is part of the time.
"""

from __future__ import annotations

import time

from bench.following import Arrival, Followers
from bench.noise import ratio, sample
from bench.place import bare_daemon, create_machines, delete_machines, proportional_mb
from bench.table import Row

FOLLOWERS = 500
SLOW = 10
EVENTS = 15
ROUNDS = 3
# So many machines come and go before, that all events are more than the connection of a slow follower holds.
_BEFORE = 500
_PAUSE_S = 0.1
_MOST = 1.2


def measure() -> list[Row]:
    with bare_daemon() as daemon:
        create_machines(_BEFORE)
        delete_machines()
        before = proportional_mb(daemon)
        with Followers(FOLLOWERS) as followers:
            each_kb = (proportional_mb(daemon) - before) * 1024 / FOLLOWERS
            alone, beside_slow = _in_turns(followers)
    heard = [arrival for arrival in alone if arrival is not None]
    heard_beside = [arrival for arrival in beside_slow if arrival is not None]
    if not (heard and heard_beside):
        raise SystemExit("bench: no event reached all followers")
    last, last_beside = (sample([one.last_ms for one in found]) for found in (heard, heard_beside))
    what = f"an event to {FOLLOWERS} followers"
    return [
        Row(f"{what}: the first has it", "ms", sample([arrival.first_ms for arrival in heard])),
        Row(f"{what}: the last has it", "ms", last),
        Row(f"{what}: the last, beside {SLOW} that do not read", "ms", last_beside),
        Row(
            f"{what}: the second over the first",
            "x",
            ratio(sample([last_beside.median]), sample([last.median])),
            aim=_MOST,
        ),
        Row(
            f"{what}: events that did not reach all",
            "",
            sample([len(alone) + len(beside_slow) - len(heard) - len(heard_beside)]),
            aim=0,
        ),
        Row("memory of the daemon for one follower", "kB", sample([each_kb])),
    ]


def _in_turns(followers: Followers) -> tuple[list[Arrival | None], list[Arrival | None]]:
    """All arrivals, without and with slow followers; None for an event that some did not hear."""
    alone: list[Arrival | None] = []
    beside_slow: list[Arrival | None] = []
    _tell(followers)  # warms up
    for _ in range(ROUNDS):
        alone += _tell(followers)
        with Followers(SLOW, read=False):
            beside_slow += _tell(followers)
    return alone, beside_slow


def _tell(followers: Followers) -> list[Arrival | None]:
    """One event after the other: each is that a machine was created."""
    found = []
    for number in range(EVENTS):
        begun = time.monotonic()
        create_machines(1, prefix=f"told-{number}")
        found.append(followers.arrival(begun))
        time.sleep(_PAUSE_S)
    delete_machines()
    time.sleep(_PAUSE_S)
    return found
