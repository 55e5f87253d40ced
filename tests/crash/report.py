"""What came of all rounds together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Report:
    """`phases`: what was going on when something was killed."""

    seed: int
    rounds: int = 0
    moves: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    reconciled: int = 0  # things that an older store did not know, found and removed
    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    slowest_list_s: float = 0.0
    slowest_settling_s: float = 0.0

    @property
    def kill_count(self) -> int:
        return sum(self.kills.values())

    def note_times(self, list_s: float, settling_s: float) -> None:
        self.slowest_list_s = max(self.slowest_list_s, list_s)
        self.slowest_settling_s = max(self.slowest_settling_s, settling_s)

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}: {self.rounds} rounds, {sum(self.moves.values())} moves, {self.kill_count} kills"
            f" in {self.seconds:.0f} s",
            f"killed: {_table(self.kills)}",
            f"what went on meanwhile: {_table(self.phases)}",
            f"moves: {_table(self.moves)}",
            f"of what older stores did not know, reconcile removed {self.reconciled}",
            f"slowest list {self.slowest_list_s * 1000:.0f} ms, slowest settling {self.slowest_settling_s:.1f} s",
            f"findings: {len(self.findings)}",
        ]
        return "\n".join([*lines, *self.findings])


def _table(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"
