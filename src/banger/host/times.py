"""Times as records hold them, and durations."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> str:
    """RFC 3339, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Stopwatch:
    """Phases of one piece of work, in milliseconds."""

    def __init__(self) -> None:
        self._begun = self._last = time.perf_counter()
        self.phases_ms: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        """Add the time since the last lap to `phase`."""
        current = time.perf_counter()
        self.phases_ms[phase] = round((current - self._last) * 1000, 1)
        self._last = current

    def note(self, phase: str, milliseconds: float) -> None:
        """Add a phase that was measured elsewhere."""
        self.phases_ms[phase] = milliseconds

    def total_ms(self) -> float:
        return round((time.perf_counter() - self._begun) * 1000, 1)
