"""What did not come along in a copy."""

from __future__ import annotations

_KEPT = 5


class Complaints:
    """A sentence each. A stranger's tree can give rise to any number of them: the first are kept, all are counted."""

    def __init__(self) -> None:
        self.first: list[str] = []
        self.count = 0

    def add(self, sentence: str) -> None:
        self.count += 1
        if len(self.first) < _KEPT:
            self.first.append(sentence)
