"""What a copy left out."""

from __future__ import annotations

_KEPT = 5


class Complaints:
    """One sentence per problem. A stranger's tree can cause any number of them: the first few are kept, all are
    counted."""

    def __init__(self) -> None:
        self.first: list[str] = []
        self.count = 0

    def add(self, sentence: str) -> None:
        self.count += 1
        if len(self.first) < _KEPT:
            self.first.append(sentence)
