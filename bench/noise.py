"""Repeated timings: the median, and how far they lie apart. Machines are noisy, so what is compared is
measured in turns, not one after the other."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """Repeated measurements of one thing, in one unit."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def most(self) -> float:
        return max(self.values)

    @property
    def p95(self) -> float:
        return self.reached_by(0.95)

    @property
    def p99(self) -> float:
        return self.reached_by(0.99)

    def reached_by(self, share: float) -> float:
        """What this share of them does not exceed: a measured value, none between two."""
        return sorted(self.values)[math.ceil(len(self.values) * share) - 1]


def timed_ms(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return (time.perf_counter() - begun) * 1000


def in_turns(actions: Mapping[str, Callable[[], float]], runs: int, warm_ups: int = 1) -> dict[str, Sample]:
    """Each action returns one measurement; A B A B ..., so that a slow minute hits all alike."""
    for _ in range(warm_ups):
        for action in actions.values():
            action()
    values: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(runs):
        for name, action in actions.items():
            values[name].append(action())
    return {name: Sample(tuple(taken)) for name, taken in values.items()}


def difference(left: Sample, right: Sample) -> Sample:
    """Left minus right, turn by turn."""
    return Sample(tuple(a - b for a, b in zip(left.values, right.values, strict=True)))


def ratio(left: Sample, right: Sample) -> Sample:
    return Sample(tuple(a / b for a, b in zip(left.values, right.values, strict=True)))


def sample(values: Sequence[float]) -> Sample:
    return Sample(tuple(values))
