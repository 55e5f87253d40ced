"""How many wrong secrets a client may send: some at once, and then a few a minute."""

from __future__ import annotations

import time
from collections.abc import Callable

BURST = 10
EACH_S = 6.0
_ADDRESSES_MAX = 1024


class Tries:
    """Counts of wrong tries by address. Each address gets one back every `EACH_S`; the addresses that were wrong
    longest ago are forgotten when there are too many."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: dict[str, tuple[float, float]] = {}  # the count at a time

    def are_used_up(self, address: str) -> bool:
        return self._count(address) > BURST - 1

    def note_wrong(self, address: str) -> None:
        count = self._count(address) + 1
        self._wrong.pop(address, None)
        self._wrong[address] = (min(count, float(BURST)), self._clock())
        while len(self._wrong) > _ADDRESSES_MAX:
            self._wrong.pop(next(iter(self._wrong)))

    def _count(self, address: str) -> float:
        count, at = self._wrong.get(address, (0.0, 0.0))
        return max(0.0, count - (self._clock() - at) / EACH_S)
