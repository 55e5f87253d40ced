"""Tasks that no caller waits for: their failures are noticed all the same.

An exception that ends such a task is a fault of the daemon, and is logged at once. Work that has to last begins again
after a pause, which doubles each time: one bad moment of the host does not end the work for good.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

log = logging.getLogger("banger.faults")

T = TypeVar("T")
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


def keep_going(work: Callable[[], Awaitable[T]], name: str) -> asyncio.Task[T]:
    """A task that does `work` again after each exception, until `work` returns or the task is cancelled."""
    return asyncio.create_task(until_done(work, name), name=name)


async def until_done(work: Callable[[], Awaitable[T]], name: str) -> T:
    """What `work` returns. After an exception, `work` begins again."""
    loop = asyncio.get_running_loop()
    pause_s = FIRST_PAUSE_S
    while True:
        begun = loop.time()
        try:
            return await work()
        except Exception:
            if loop.time() - begun > LONGEST_PAUSE_S:  # it went well for a while
                pause_s = FIRST_PAUSE_S
            log.exception("a fault of the daemon: %s ended; it is begun again in %g s", name, pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)


_held: set[asyncio.Task[None]] = set()


def in_background(work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
    """A task that is kept alive until it ends, and whose exception is logged."""
    task = asyncio.create_task(work, name=name)
    _held.add(task)
    task.add_done_callback(_held.discard)
    task.add_done_callback(log_fault)
    return task


def log_fault(task: asyncio.Task[None]) -> None:
    """Log the exception that ended the task: for `add_done_callback`."""
    if not task.cancelled() and (exc := task.exception()) is not None:
        log.error("a fault of the daemon: %s ended", task.get_name(), exc_info=exc)
