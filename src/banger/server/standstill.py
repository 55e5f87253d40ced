"""A watch on the event loop, for tests and for debugging: with BANGER_WATCH_LOOP=50 each callback is logged that blocks
the loop for 50 ms, with the stack of that moment.

The watch measures what other programs of the host cannot cause: processor time of the loop's thread, relative to the
present speed of the processor; and long sleeps, without the time that the thread waited for a processor or for a disk.
So it reports neither a slow disk nor a commit of the store on one. Instead it reports each call that may wait for a
disk for any time (trees that are removed or listed, files that are copied or linked), however fast the call was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

log = logging.getLogger("banger.standstill")

VARIABLE = "BANGER_WATCH_LOOP"
WORDS = "the event loop stood still"
# On a busy host a thread may also sleep for this long for a lock whose holder has no processor.
_SLEEP_S = 1.0
_LOOK_S = 0.01
_PROBES = 5
# The audit events of such calls.
_FOR_THREADS = frozenset({"shutil.rmtree", "shutil.copyfile", "os.scandir", "os.link", "time.sleep"})
# Private to asyncio; callbacks and tasks both go through it.
_RUN = "_run"


@dataclass
class _Turn:
    """One callback: its begin, by all clocks; its stack when it had taken long; and how often it was seen asleep, and
    waiting for a disk."""

    clock_s: float
    computed_s: float
    waited_s: float
    stack: str = ""
    asleep: int = 0
    at_disk: int = 0


@contextlib.contextmanager
def watched_as_asked() -> Iterator[None]:
    """Watch the loop during the block, if the environment says so."""
    limit_ms = os.environ.get(VARIABLE, "")
    watch = Watch(int(limit_ms) / 1000) if limit_ms.isascii() and limit_ms.isdigit() else None
    if watch is not None:
        watch.begin()
    try:
        yield
    finally:
        if watch is not None:
            watch.end()


class Watch:
    """The watch on the thread that makes it, from `begin` to `end`. `tell` is called in that thread."""

    def __init__(self, limit_s: float, tell: Callable[[str], None] = log.error) -> None:
        self._limit_s = limit_s
        self._tell = tell
        self._thread = threading.get_ident()
        self._status = f"/proc/self/task/{threading.get_native_id()}"
        self._turn: _Turn | None = None
        self._ended = threading.Event()
        self._fastest_s = min(_probe() for _ in range(_PROBES))
        self._plain: Callable[[asyncio.Handle], None] = getattr(asyncio.Handle, _RUN)

    def begin(self) -> None:
        _listen()
        _watching.add(self)
        plain = self._plain

        def run(handle: asyncio.Handle) -> None:
            if threading.get_ident() != self._thread:
                plain(handle)
                return
            turn = _Turn(time.monotonic(), time.thread_time(), self._waited_s())
            self._turn = turn
            try:
                plain(handle)
            finally:
                self._turn = None
                self._judge(turn, handle)

        setattr(asyncio.Handle, _RUN, run)
        threading.Thread(target=self._look, name="standstill", daemon=True).start()

    def hear(self, event: str) -> None:
        """An audit event; called in its thread."""
        if self._turn is not None and threading.get_ident() == self._thread:
            self._tell(f"{WORDS}: {event}\n{''.join(traceback.format_stack())}")

    def end(self) -> None:
        _watching.discard(self)
        setattr(asyncio.Handle, _RUN, self._plain)
        self._ended.set()

    def _judge(self, turn: _Turn, handle: asyncio.Handle) -> None:
        took_s = time.monotonic() - turn.clock_s
        if took_s < self._limit_s:
            return
        computed_s = time.thread_time() - turn.computed_s
        slept_s = took_s - computed_s - (self._waited_s() - turn.waited_s)
        # Without a stack, the thread that looks had no turn either: as a rule, a hypervisor stopped the whole process,
        # and counts that as processor time.
        limit_s = self._limit_s if turn.stack else 2 * self._limit_s
        if computed_s >= limit_s and computed_s >= limit_s * self._slowness():
            self._say(f"{computed_s * 1000:.0f} ms of processor time", turn, handle)
        elif slept_s >= _SLEEP_S and turn.asleep > turn.at_disk:
            self._say(f"{slept_s * 1000:.0f} ms asleep", turn, handle)

    def _say(self, how_long: str, turn: _Turn, handle: asyncio.Handle) -> None:
        self._tell(f"{WORDS}: {how_long} in {handle!r}\n{turn.stack or '(its stack was not seen)'}")

    def _slowness(self) -> float:
        """How many times longer the same work takes now than at the beginning: threads and other virtual machines share
        the processor."""
        return max(1.0, min(_probe() for _ in range(_PROBES)) / self._fastest_s)

    def _waited_s(self) -> float:
        """The time that the thread has waited for a processor since its begin."""
        try:
            with open(f"{self._status}/schedstat", "rb", buffering=0) as file:
                return int(file.read().split()[1]) / 1e9
        except (OSError, IndexError):
            return 0.0

    def _look(self) -> None:
        """Look at the current callback every 10 ms; in a thread of its own."""
        while not self._ended.wait(_LOOK_S):
            turn = self._turn
            if turn is None or time.monotonic() - turn.clock_s < self._limit_s / 2:
                continue
            frame = sys._current_frames().get(self._thread)
            if not turn.stack and frame is not None and self._turn is turn:
                turn.stack = "".join(traceback.format_stack(frame))
            state = self._state()
            turn.asleep += state == "S"
            turn.at_disk += state == "D"

    def _state(self) -> str:
        try:
            with open(f"{self._status}/stat", "rb", buffering=0) as file:
                return file.read().rpartition(b") ")[2][:1].decode()
        except OSError:
            return ""


_watching: set[Watch] = set()


@cache
def _listen() -> None:
    """Add the audit hook, once: it stays until the process ends."""
    sys.addaudithook(_hear)


def _hear(event: str, _: object) -> None:
    if event in _FOR_THREADS:
        for watch in tuple(_watching):
            watch.hear(event)


def _probe() -> float:
    """The processor time of a fixed piece of work."""
    begun = time.thread_time()
    sum(range(20_000))
    return time.thread_time() - begun
