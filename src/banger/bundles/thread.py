"""Packing and unpacking beside the event loop, so that whoever is cancelled leaves no thread that writes to files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Event
from typing import TypeVar

T = TypeVar("T")


async def run_in_thread(work: Callable[[Event], T]) -> T:
    """What `work` returns; it looks at its argument now and then, and gives up when that is set. It has ended when this
    returns, also when it is cancelled."""
    stop = Event()
    thread = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([thread])
        thread.exception()
        raise
