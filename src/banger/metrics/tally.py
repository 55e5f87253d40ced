"""Counts and histograms with a bounded number of series."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field

# Upper bounds in seconds: from an exec in a warm machine to the pull of a large image.
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SERIES_MAX = 200
# What stands for the values of all labels in a series that came after the last.
OTHERS = "(others)"
Labels = tuple[tuple[str, str], ...]


@dataclass
class Histogram:
    """`counts` has one more entry than there are bounds: of values above the last."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total_s: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect.bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    def cumulative(self) -> list[int]:
        """How many values are at most each bound; the last entry counts all."""
        reached, found = 0, []
        for count in self.counts:
            reached += count
            found.append(reached)
        return found


class Tally:
    """Belongs to the daemon's loop. Names and labels are chosen by our own code; values of labels may be anything."""

    def __init__(self) -> None:
        self.counters: dict[str, dict[Labels, int]] = {}
        self.histograms: dict[str, dict[Labels, Histogram]] = {}

    def count(self, name: str, **labels: str) -> None:
        series = self.counters.setdefault(name, {})
        key = _key(series, labels)
        series[key] = series.get(key, 0) + 1

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        series = self.histograms.setdefault(name, {})
        series.setdefault(_key(series, labels), Histogram()).add(seconds)

    def close(self) -> None:
        """Nothing is left to send. Blocking."""


def _key(series: Mapping[Labels, object], labels: Mapping[str, str]) -> Labels:
    key = tuple(sorted(labels.items()))
    if key in series or len(series) < SERIES_MAX:
        return key
    return tuple((name, OTHERS) for name, _ in key)
