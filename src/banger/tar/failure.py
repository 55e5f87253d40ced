"""The three ways in which an archive fails. The room above that knows what it is an archive of makes errors of them."""

from __future__ import annotations

_PRINTED_LENGTH = 160


class TarFailure(Exception):
    """`what` is wrong with `entry`, or with the archive as a whole."""

    def __init__(self, what: str, entry: bytes | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.entry = entry


class Corrupt(TarFailure):
    """The bytes are not what they claim to be: damaged, truncated, contradictory."""


class Refused(TarFailure):
    """Well-formed, but nothing that could be put on a disk without harm."""


class TooLarge(TarFailure):
    """More than the limits allow."""


def printable(name: bytes) -> str:
    """A name as it can be shown in one line of a terminal, whatever its bytes are. Not reversible."""
    text = name[:_PRINTED_LENGTH].decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown + ("..." if len(name) > _PRINTED_LENGTH else "")
