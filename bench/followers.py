"""Many followers of the daemon's events: how long an event takes until the last of them has it, what each of them takes
of the daemon's memory, and whether followers that do not read delay the others.

Events are an answer that does not end (`GET /v1/events?follow=true`), one connection a follower. All followers are in
one process of their own (`bench.following`), and what it takes to read is part of the time.
"""

from __future__ import annotations

import time

from bench.following import Arrival, Followers
from bench.noise import Sample, ratio, sample
from bench.place import bare_daemon, create_machines, delete_machines, proportional_mb
from bench.table import Row

FOLLOWERS = 500
SLOW = 10
EVENTS = 12
ROUNDS = 5
# So many machines come and go before, that all events are more than the connection of a slow follower holds.
_BEFORE = 500
_PAUSE_S = 0.1
_MOST = 1.5


Told = list[Arrival | None]


def measure() -> list[Row]:
    with bare_daemon() as daemon:
        create_machines(_BEFORE)
        delete_machines()
        before = proportional_mb(daemon)
        with Followers(FOLLOWERS) as followers:
            each_kb = (proportional_mb(daemon) - before) * 1024 / FOLLOWERS
            alone, beside_slow = _in_turns(followers)
    whole, whole_beside = (_medians(found) for found in (alone, beside_slow))
    what = f"an event to {FOLLOWERS} followers"
    heard = [arrival for one in alone for arrival in one if arrival is not None]
    lost = sum(arrival is None for one in (*alone, *beside_slow) for arrival in one)
    return [
        Row(f"{what}: the first has it", "ms", sample([arrival.first_ms for arrival in heard])),
        Row(f"{what}: the last has it", "ms", sample([arrival.last_ms for arrival in heard])),
        Row(f"{what}: the same, medians of {EVENTS}", "ms", whole),
        Row(f"{what}: the same beside {SLOW} that do not read", "ms", whole_beside),
        Row(f"{what}: the second over the first", "x", ratio(whole_beside, whole), aim=_MOST),
        Row(f"{what}: events that did not reach all", "", sample([lost]), aim=0),
        Row("memory of the daemon for one follower", "kB", sample([each_kb])),
    ]


def _in_turns(followers: Followers) -> tuple[list[Told], list[Told]]:
    """The arrivals of each round, without and with slow followers; None for an event that some did not hear."""
    alone, beside_slow = [], []
    _tell(followers)  # warms up
    for _ in range(ROUNDS):
        alone.append(_tell(followers))
        with Followers(SLOW, read=False):
            beside_slow.append(_tell(followers))
    return alone, beside_slow


def _tell(followers: Followers) -> Told:
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


def _medians(rounds: list[Told]) -> Sample:
    """Of each round, when the last follower had its events."""
    found = [[arrival.last_ms for arrival in one if arrival is not None] for one in rounds]
    if not all(found):
        raise SystemExit("bench: in one round, no event reached all followers")
    return sample([sample(values).median for values in found])
