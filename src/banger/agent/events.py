"""The EVENT frames of a guest: their contents, and a limit for their number per minute."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

log = logging.getLogger("banger.agent")

EVENTS_A_MINUTE = 20
_MINUTE_S = 60.0


class EventCode(str, Enum):
    """The codes that decide something; docs/protocol.md has all of them."""

    OOM = "oom"
    SHUTDOWN = "shutdown"


class AgentEvent(NamedTuple):
    """One EVENT. `message` is for people. `pid` is the process in the guest that the event is about, or 0."""

    code: str
    message: str
    pid: int = 0


class EventLimit:
    """The limit of one connection. Events above the limit are counted, and not decoded."""

    def __init__(self, machine: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._machine = machine
        self._clock = clock
        self._minute_ends = 0.0
        self._admitted = 0
        self._refused = 0

    def admits(self) -> bool:
        """Whether the event that has just arrived is below the limit."""
        if self._clock() >= self._minute_ends:
            self._begin_minute()
        if self._admitted < EVENTS_A_MINUTE:
            self._admitted += 1
            return True
        if not self._refused:
            log.warning("machine=%s sends too many events; some are not heard", self._machine)
        self._refused += 1
        return False

    def _begin_minute(self) -> None:
        if self._refused:
            log.warning("machine=%s sent %d events that were not heard", self._machine, self._refused)
        self._minute_ends = self._clock() + _MINUTE_S
        self._admitted = self._refused = 0
