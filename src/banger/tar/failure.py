"""The three ways in which an archive fails. A room above, which knows what the archive is, turns them into errors."""

from __future__ import annotations

_PRINTED_LENGTH = 160


class TarFailure(Exception):
    """`what` is wrong with `entry`, or with the whole archive."""

    def __init__(self, what: str, entry: bytes | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.entry = entry


class Corrupt(TarFailure):
    """The bytes are invalid: damaged, truncated, contradictory."""


class Refused(TarFailure):
    """Valid, but it cannot be written to a disk without harm."""


class TooLarge(TarFailure):
    """More than the limits allow."""


def printable(name: bytes) -> str:
    """A name for one line of a terminal, whatever its bytes are. Not reversible."""
    text = name[:_PRINTED_LENGTH].decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown + ("..." if len(name) > _PRINTED_LENGTH else "")
