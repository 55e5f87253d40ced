"""Packing and unpacking beside the event loop, so that whoever is cancelled leaves no thread that writes to files.

Each in a thread of its own: one that waits for a slow client takes none that others wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

T = TypeVar("T")


async def run_in_thread(work: Callable[[Event], T]) -> T:
    """What `work` returns; it looks at its argument now and then, and gives up when that is set. It has ended when this
    returns, also when it is cancelled."""
    stop = Event()
    pool = ThreadPoolExecutor(1, "bundle")
    working = asyncio.get_running_loop().run_in_executor(pool, work, stop)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stop.set()
        await wait_out(working)
        raise
    finally:
        pool.shutdown(wait=False)


async def wait_out(ending: asyncio.Future[T]) -> None:
    """Until it has ended, however often we are cancelled meanwhile. How it ended is of no interest."""
    while not ending.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([ending])
    if not ending.cancelled():
        ending.exception()
