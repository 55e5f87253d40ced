"""How a thread is told to stop, also while it waits for the network.

A thread cannot be cancelled. So each piece of work has a lifeline. The line is cut when the waiting task is cancelled,
or when the deadline has passed, which the work extends as it makes progress. A cut shuts down the sockets that the work
uses, which wakes its thread. This one mechanism limits slow heads, slow bodies and single bytes now and then.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from banger.host.thread import LONG, Crew

T = TypeVar("T")
# After this time, a thread is left alone that neither checks its line nor waits for a socket: it resolves a name, for
# example.
_PATIENCE_S = 1.0


class Cut(Exception):
    """The work was told to stop. `late`: because its deadline has passed."""

    def __init__(self, late: bool) -> None:
        super().__init__("too slow" if late else "cancelled")
        self.late = late


class Wire(Protocol):
    """Something that a thread may wait for."""

    def shut(self) -> None:
        """Wake the waiting thread. From any thread; never raises."""


class Lifeline:
    """Lives as long as one piece of work. The work calls `check`, `allow`, `hold` and `drop`; other threads only
    `cut`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wires: set[Wire] = set()
        self._cut = self._late = False
        self.deadline = float("inf")

    def allow(self, seconds: float) -> None:
        """Set the deadline: unless this is called again within `seconds`, the line is cut."""
        self.check()
        self.deadline = time.monotonic() + seconds

    def check(self) -> None:
        """Raises `Cut` after the line was cut."""
        if self._cut:
            raise Cut(self._late)

    def hold(self, wire: Wire) -> None:
        with self._lock:
            self._wires.add(wire)
        self.check()

    def drop(self, wire: Wire) -> None:
        with self._lock:
            self._wires.discard(wire)

    def cut(self, late: bool = False) -> None:
        with self._lock:
            if not self._cut:
                self._cut, self._late = True, late
            for wire in self._wires:
                wire.shut()


current: contextvars.ContextVar[Lifeline | None] = contextvars.ContextVar("lifeline", default=None)


async def on_lifeline(work: Callable[[Lifeline], T], crew: Crew = LONG) -> T:
    """Run `work` in a thread. A cancellation ends the work within about a second. Raises the errors of `work`, and
    `Cut` if it was late."""
    line = Lifeline()
    watching = asyncio.create_task(_cut_when_late(line), name="lifeline")
    try:
        return await crew.run(functools.partial(_run, work, line), line.cut, _PATIENCE_S)
    finally:
        watching.cancel()


def _run(work: Callable[[Lifeline], T], line: Lifeline) -> T:
    token = current.set(line)
    try:
        line.check()
        return work(line)
    except Cut:
        raise
    except Exception:
        line.check()  # the cut is the cause of the exception
        raise
    finally:
        current.reset(token)


async def _cut_when_late(line: Lifeline) -> None:
    """Cut the line when its deadline has passed. The work may set a nearer deadline meanwhile, so this looks again
    every second."""
    while (left_s := line.deadline - time.monotonic()) > 0:
        wait_s = min(1.0, left_s)
        await asyncio.sleep(wait_s)
    line.cut(late=True)
