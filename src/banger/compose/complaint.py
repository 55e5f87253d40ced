"""What is wrong with a Compose file, and where."""

from __future__ import annotations

from typing import NamedTuple

from banger.errors import Error


class Place(NamedTuple):
    """Line and column count from 1. Line 0: the whole file."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path


def refuse(place: Place, what: str, hint: str = "") -> Error:
    """The error for what is at this place."""
    details: dict[str, object] = {"path": place.path, "line": place.line, "column": place.column}
    return Error("compose_invalid", f"{place}: {what}", hint, details)
