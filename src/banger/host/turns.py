"""How much of the event loop's time those may take who are not trusted, one by one and all together.

Each has a small allowance of its own, which is enough for all but bulk data and floods. Who has used it up waits for a
turn. There is one queue for all, and a turn every so often: however many flood us at a time, they wait for each other,
and most of the loop's time is left for the rest. Who has wanted turn after turn for long gets shorter ones.

Times are processor time of the loop's thread in seconds, and seconds of the clock where they say how often.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary, WeakSet

# One turn, and from its begin to that of the next: a third of the time, for all in the queue together.
SLICE_S = 0.005
PERIOD_S = 0.015
# The part of the time that all allowances together come to; and one, where there are few.
_ALLOWED = 1 / 6
_ALLOWED_EACH = 1 / 20
# Who has not been out of the queue for so long is a flood, and gets a part of a turn.
FLOOD_S = 30.0
_FLOOD_PART = 1 / 5
# So little is not worth beginning with.
_LEAST_S = 0.0002


class Turns:
    """The queue of one event loop; lives as long as that does."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._waiting: deque[Share] = deque()
        self._members: WeakSet[Share] = WeakSet()
        self._next_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def join(self) -> Share:
        share = Share(self)
        self._members.add(share)
        return share

    def leave(self, share: Share) -> None:
        self._members.discard(share)
        if share in self._waiting:
            self._waiting.remove(share)

    @property
    def allowance(self) -> float:
        """The part of the time that each may take without a turn."""
        return min(_ALLOWED_EACH, _ALLOWED / max(1, len(self._members)))

    def enqueue(self, share: Share) -> None:
        self._waiting.append(share)
        self._plan()

    def _plan(self) -> None:
        if self._timer is None and self._waiting:
            wait_s = max(0.0, self._next_at - self.clock())
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._give)

    def _give(self) -> None:
        self._timer = None
        self._next_at = self.clock() + PERIOD_S
        try:
            if self._waiting:
                self._waiting.popleft().take_turn()
        finally:  # whatever one does with its turn, the others get theirs
            self._plan()


class Share:
    """What one of them may take; from `Turns.join` to `close`."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._left_s = SLICE_S
        self._counted_at = turns.clock()
        self._wanting_since: float | None = None
        self._go_on: Callable[[], None] | None = None
        self._closed = False

    def left_s(self) -> float:
        """Processor time that it may take now; 0 when it has to wait for a turn first."""
        now = self._turns.clock()
        grown_s = (now - self._counted_at) * self._turns.allowance
        self._left_s, self._counted_at = min(SLICE_S, self._left_s + grown_s), now
        if grown_s >= SLICE_S:  # it has wanted nothing for a while
            self._wanting_since = None
        return self._left_s if self._left_s > _LEAST_S else 0.0

    def spend(self, used_s: float) -> None:
        self._left_s -= used_s

    def wait(self, go_on: Callable[[], None]) -> None:
        """Have `go_on` called when it is its turn; not after `close`."""
        if self._closed or self._go_on is not None:
            return
        if self._wanting_since is None:
            self._wanting_since = self._turns.clock()
        self._go_on = go_on
        self._turns.enqueue(self)

    async def turn(self) -> None:
        """Wait until there is something left."""
        if not self._closed and self.left_s() <= 0:
            given = asyncio.Event()
            self.wait(given.set)
            await given.wait()

    def take_turn(self) -> None:
        """Called by the queue. What it saved up while it waited is not added."""
        now = self._turns.clock()
        floods = self._wanting_since is not None and now - self._wanting_since > FLOOD_S
        self._left_s, self._counted_at = SLICE_S * (_FLOOD_PART if floods else 1), now
        go_on, self._go_on = self._go_on, None
        if go_on is not None:
            go_on()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._turns.leave(self)
        go_on, self._go_on = self._go_on, None
        if go_on is not None:
            go_on()  # whoever waits is to see that it is over


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


def turns() -> Turns:
    """The queue of the loop that runs."""
    loop = asyncio.get_running_loop()
    found = _of_loops.get(loop)
    if found is None:
        found = _of_loops[loop] = Turns()
    return found
