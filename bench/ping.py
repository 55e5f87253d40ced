"""A round trip to the agent, timed inside the daemon."""

from __future__ import annotations

from bench.noise import sample
from bench.place import ask
from bench.table import Row


def measure(machine: str) -> list[Row]:
    ask(f"/v1/machines/{machine}/ping?count=20")
    taken = ask(f"/v1/machines/{machine}/ping?count=200")["round_trips_ms"]
    return [Row("agent round trip, in the daemon", "ms", sample(taken), aim=1)]
