"""Work that waits for a disk, for a file system or for another program, in threads beside the event loop.

A thread cannot be cancelled. A task that is cancelled while it waits for a thread tells the thread to stop, which the
thread does at its next step, and then waits for the thread to end: once `await` has raised, the thread writes to no
file any more. There are two ways not to wait forever. `patience_s` limits the wait after a cancellation, for work that
may hang in the kernel or in a library; a result that comes later is closed, if it can be. And the end of the daemon
waits for no thread: `end_all` leaves threads alone that do not stop soon. These threads do not keep the process from
ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
from collections.abc import Callable
from importlib import import_module
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, Generic, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

log = logging.getLogger("banger.host")

P = ParamSpec("P")
T = TypeVar("T")
_IDLE_S = 10.0


class Crew:
    """At most `limit` threads. Work that comes while all threads are busy waits. A thread starts when it is needed, and
    ends after some time without work."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._lock = Lock()
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._unfinished = self._threads = 0

    async def run(
        self,
        work: Callable[[], T],
        stop: Callable[[], None] = lambda: None,
        patience_s: float = math.inf,
    ) -> T:
        """What `work` returns. `stop` tells `work` that its result is not wanted any more: it is called from the loop,
        is quick and never raises."""
        job = _Job(work, stop)
        under_way = _under_way.setdefault(job.loop, set())
        under_way.add(job)
        job.done.add_done_callback(lambda _: under_way.discard(job))
        self._give(job.run)
        try:
            return await asyncio.shield(job.done)
        except asyncio.CancelledError:
            await job.end(patience_s)
            raise

    def _give(self, job: Callable[[], None]) -> None:
        with self._lock:
            self._jobs.put(job)
            self._unfinished += 1
            if self._threads >= min(self._limit, self._unfinished):
                return
            self._threads += 1
        Thread(target=self._serve, name=self._name, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_S)
            except Empty:
                with self._lock:
                    if self._jobs.empty():
                        self._threads -= 1
                        return
                continue
            job()
            del job  # it holds the result
            with self._lock:
                self._unfinished -= 1


class _Job(Generic[T]):
    def __init__(self, work: Callable[[], T], stop: Callable[[], None]) -> None:
        self._work = work
        self._stop = stop
        self._begun = Lock()
        """Held by the thread that has begun the work, or by a task that has given it up before its begin."""
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[T] = self.loop.create_future()

    def run(self) -> None:
        """Do the work; called in the thread."""
        if not self._begun.acquire(blocking=False):
            return
        try:
            result = self._work()
        except BaseException as exc:
            self._deliver(functools.partial(self._fail, exc))
        else:
            self._deliver(functools.partial(self._bring, result))

    def stop(self) -> None:
        """Keep the work from beginning, or tell it to stop."""
        if self._begun.acquire(blocking=False):
            self.done.cancel()
        else:
            self._stop()

    async def end(self, patience_s: float) -> None:
        """Stop the work and wait until it has ended, also through further cancellations."""
        self.stop()
        self.done.add_done_callback(_drop)
        end = self.loop.time() + patience_s
        while not self.done.done() and (left_s := end - self.loop.time()) > 0:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([self.done], timeout=None if math.isinf(left_s) else left_s)

    def _deliver(self, give: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            self.loop.call_soon_threadsafe(give)

    def _bring(self, result: T) -> None:
        if self.done.done():  # the waiting task has given up
            _close(result)
        else:
            self.done.set_result(result)

    def _fail(self, exc: BaseException) -> None:
        if self.done.done():
            return
        if isinstance(exc, StopIteration):  # a future refuses it
            exc = RuntimeError("StopIteration in a thread")
        self.done.set_exception(exc)


_under_way: WeakKeyDictionary[asyncio.AbstractEventLoop, set[_Job[Any]]] = WeakKeyDictionary()
SHORT = Crew("short work", 16)
LONG = Crew("long work", 64)


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns. For a few system calls, however long the disk takes; `work` is not told to stop."""
    return await SHORT.run(functools.partial(work, *args, **kwargs))


async def load_modules(*names: str) -> None:
    """Import modules that are rarely needed, with their libraries. The import statement that follows finds them loaded,
    and takes no time."""
    for name in names:
        await in_thread(import_module, name)


async def in_stoppable_thread(work: Callable[[Event], T]) -> T:
    """What `work` returns. `work` looks at its argument now and then, and gives up when the event is set. It may take
    long and wait for others, such as a slow client: short work has other threads."""
    stop = Event()
    return await LONG.run(lambda: work(stop), stop.set)


async def wait_out(ending: asyncio.Future[T]) -> None:
    """Wait until it has ended, also through cancellations. Its result or exception is dropped."""
    while not ending.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([ending])
    if not ending.cancelled():
        ending.exception()


async def end_all(grace_s: float) -> None:
    """Tell all work of this loop to stop, and wait for its end, for at most `grace_s` seconds. Threads that have not
    stopped by then are left alone, and the tasks that wait for them are cancelled."""
    jobs = [*_under_way.get(asyncio.get_running_loop(), ())]
    for job in jobs:
        job.stop()
    if jobs:
        await asyncio.wait([job.done for job in jobs], timeout=grace_s)
    left = [job for job in jobs if not job.done.done()]
    if left:
        log.warning("%d threads are still at work, and are left to themselves", len(left))
    for job in left:
        job.done.cancel()


def _drop(done: asyncio.Future[T]) -> None:
    """Close a result that comes after its task gave up."""
    if not done.cancelled() and done.exception() is None:
        _close(done.result())


def _close(result: object) -> None:
    close = getattr(result, "close", None)
    if callable(close):
        close()
