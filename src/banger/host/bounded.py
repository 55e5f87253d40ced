"""Collections of the daemon that strangers can fill: their size is limited at each insertion, not by a later
clean-up."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K")
V = TypeVar("V")


class Bounded(dict[K, V]):
    """At most `limit` entries: a new entry drops the oldest one. Insert with `bounded[key] = value` only."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def __setitem__(self, key: K, value: V) -> None:
        self.pop(key, None)
        while len(self) >= self._limit:
            del self[next(iter(self))]
        super().__setitem__(key, value)


class Locks:
    """Locks by name: `async with locks[name]`. A lock exists only while a task holds it or waits for it, so that names
    which strangers choose take no memory afterwards."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def __getitem__(self, name: Hashable) -> asyncio.Lock:
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    def __len__(self) -> int:
        return len(self._locks)
