"""Something that happened, as the journal keeps it and followers hear it."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct


class Event(Struct, kw_only=True):
    """`seq` grows by one with each event. `time` is RFC 3339 in UTC. `kind` says what happened ("machine.stopped"), and
    `target` to what ("machine/dev"). `message` is for people, `data` for programs (docs/events.md)."""

    seq: int
    time: str
    kind: str
    target: str
    message: str = ""
    data: dict[str, Any] = {}


class Tell(Protocol):
    """Code calls this to tell the journal what happened. A call takes some 50 µs, and never waits for a listener."""

    def __call__(self, kind: str, target: str, message: str, /, **data: object) -> None: ...


def tell_nobody(kind: str, target: str, message: str, /, **data: object) -> None:
    """For code that has no journal."""
