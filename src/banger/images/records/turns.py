"""Pulls of the same image: one after the other, and each pull that waits hears how far the pull at work is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from banger.host.bounded import Locks
from banger.model.operation import Layers, Report

_WARNING = "warning"


class Turns:
    """Lives as long as its library. An image without a pull takes no memory."""

    def __init__(self) -> None:
        self._locks = Locks()
        self._heard: dict[str, list[Report]] = {}

    def __len__(self) -> int:
        return len(self._heard)

    @asynccontextmanager
    async def take(self, name: str, report: Report) -> AsyncIterator[Report]:
        """Wait for the turn of this pull of `name`. The result is a report that all pulls hear which wait for
        their turn, except for warnings, since each pull finds its own."""
        heard = self._heard.setdefault(name, [])
        heard.append(report)

        def tell(
            phase: str, message: str = "", done: int = 0, total: int = 0, unit: str = "", layers: Layers = ()
        ) -> None:
            for hear in [report] if phase == _WARNING else heard:
                hear(phase, message, done, total, unit, layers)

        try:
            async with self._locks[name]:
                yield tell
        finally:
            heard.remove(report)
            if not heard:
                del self._heard[name]
