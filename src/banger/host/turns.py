"""How much time of the event loop untrusted peers may take, each of them and all together.

Each peer has a small allowance, which is enough for everything except bulk data and floods. A peer that has used its
allowance waits for a turn. All peers share one queue, which gives one turn per period: however many peers flood the
daemon, they wait for each other, and most of the loop's time is left for other work. A peer that has wanted turn after
turn for a long time gets shorter turns.

Amounts are seconds of processor time of the loop's thread; periods are seconds of the clock.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary, WeakSet

# Length of one turn, and time between the beginnings of two turns: a third of the time, for all peers in the queue
# together.
SLICE_S = 0.005
PERIOD_S = 0.015
# The part of the time for all allowances together, and the most for one peer when there are few.
_ALLOWED = 1 / 6
_ALLOWED_EACH = 1 / 20
# A peer that has not left the queue for this time floods: its turns are shorter.
FLOOD_S = 30.0
_FLOOD_PART = 1 / 5
# Less than this is not worth a start.
_LEAST_S = 0.0002


class Turns:
    """The queue of one event loop; lives as long as the loop."""

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
        """The part of the time that each peer may take without a turn."""
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
        finally:  # an exception in one turn must not end the turns of others
            self._plan()


class Share:
    """The time that one peer may take; from `Turns.join` to `close`."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._left_s = SLICE_S
        self._counted_at = turns.clock()
        self._wanting_since: float | None = None
        self._go_on: Callable[[], None] | None = None
        self._closed = False

    def left_s(self) -> float:
        """Processor time that the peer may take now; 0 if it has to wait for a turn first."""
        now = self._turns.clock()
        grown_s = (now - self._counted_at) * self._turns.allowance
        self._left_s, self._counted_at = min(SLICE_S, self._left_s + grown_s), now
        if grown_s >= SLICE_S:  # it has needed nothing for a while
            self._wanting_since = None
        return self._left_s if self._left_s > _LEAST_S else 0.0

    def spend(self, used_s: float) -> None:
        self._left_s -= used_s

    def wait(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` when the peer has its turn, or at `close`; not after `close`."""
        if self._closed or self._go_on is not None:
            return
        if self._wanting_since is None:
            self._wanting_since = self._turns.clock()
        self._go_on = go_on
        self._turns.enqueue(self)

    async def turn(self) -> None:
        """Wait until some time is left."""
        if not self._closed and self.left_s() <= 0:
            given = asyncio.Event()
            self.wait(given.set)
            await given.wait()

    def take_turn(self) -> None:
        """Begin the peer's turn; called by the queue. Allowance that was saved up while waiting is not added."""
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
            go_on()  # wake the waiting task, so that it sees the end


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


def turns() -> Turns:
    """The queue of the running loop."""
    loop = asyncio.get_running_loop()
    found = _of_loops.get(loop)
    if found is None:
        found = _of_loops[loop] = Turns()
    return found
