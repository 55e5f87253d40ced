"""What a daemon remembers without being asked for how long: bounded where it is put in, not by who cleans up later."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K")
V = TypeVar("V")


class Bounded(dict[K, V]):
    """At most `limit` entries: one that is put in makes room by dropping the one that was put in longest ago. Put in
    by `bounded[key] = value` alone."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def __setitem__(self, key: K, value: V) -> None:
        self.pop(key, None)
        while len(self) >= self._limit:
            del self[next(iter(self))]
        super().__setitem__(key, value)


class Locks:
    """A lock by name, `async with locks[name]`: there only while somebody holds it or waits for it, so that names that
    strangers choose leave nothing behind."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def __getitem__(self, name: Hashable) -> asyncio.Lock:
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    def __len__(self) -> int:
        return len(self._locks)
