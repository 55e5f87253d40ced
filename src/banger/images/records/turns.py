"""Pulls of the same image: one after the other, and those that wait hear how far the one at work is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from banger.host.bounded import Locks
from banger.model.operation import Layers, Report

_WARNING = "warning"


class Turns:
    """Nothing is kept of an image that nobody pulls."""

    def __init__(self) -> None:
        self._locks = Locks()
        self._heard: dict[str, list[Report]] = {}

    def __len__(self) -> int:
        return len(self._heard)

    @asynccontextmanager
    async def take(self, name: str, report: Report) -> AsyncIterator[Report]:
        """Wait for the turn of this pull of `name`. What is reported to the result, all hear that wait for their turn;
        warnings not, since each pull finds its own."""
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
