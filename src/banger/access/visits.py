"""What is under way for principals that came over TCP, so that it can be ended when their token is revoked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


class Visits:
    """The tasks of requests and streams, by the label of their principal."""

    def __init__(self) -> None:
        self._tasks: dict[str, set[asyncio.Task[object]]] = {}
        self._ended: set[asyncio.Task[object]] = set()

    @contextlib.contextmanager
    def during(self, label: str) -> Iterator[None]:
        """The current task serves a request of this principal. If `end` cancels it, this swallows the cancellation."""
        task = asyncio.current_task()
        assert task is not None
        tasks = self._tasks.setdefault(label, set())
        tasks.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
        finally:
            self._ended.discard(task)
            tasks.discard(task)
            if not tasks:
                self._tasks.pop(label, None)

    def end(self, label: str) -> None:
        """End all that is under way for a principal."""
        for task in tuple(self._tasks.get(label, ())):
            self._ended.add(task)
            task.cancel()
