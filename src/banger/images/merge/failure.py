"""The three ways in which a layer fails, and the errors they become where the layer is known.

The readers of this package know an entry's name at most; `naming_layer` adds which layer it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from banger.errors import Error

_PRINTED_LENGTH = 160


class LayerFailure(Exception):
    """`what` is wrong with `entry`, or with the layer as a whole. Never leaves this package."""

    code = "internal"
    hint = ""

    def __init__(self, what: str, entry: bytes | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.entry = entry


class Corrupt(LayerFailure):
    """The bytes are not what they claim to be: damaged, truncated, contradictory."""

    code = "layer_corrupt"
    hint = "pull it again; if that does not help, the image itself is damaged"


class Refused(LayerFailure):
    """Well-formed, but nothing that could be put on a disk without harm."""

    code = "layer_refused"
    hint = "the image has to be built differently"


class TooLarge(LayerFailure):
    """More than the limits allow."""

    code = "layer_too_large"
    hint = "raise the limits of imports if the image is meant to be that large"


def printable(name: bytes) -> str:
    """A name as it can be shown in one line of a terminal, whatever its bytes are. Not reversible."""
    text = name[:_PRINTED_LENGTH].decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown + ("..." if len(name) > _PRINTED_LENGTH else "")


@contextmanager
def naming_layer(number: int, digest: str) -> Iterator[None]:
    """Turn a `LayerFailure` of the body into an `Error` that names the layer; 1 is the lowest."""
    try:
        yield
    except LayerFailure as exc:
        details: dict[str, object] = {"layer": number, "digest": digest}
        where = ""
        if exc.entry is not None:
            details["entry"] = printable(exc.entry)
            where = f", entry '{details['entry']}'"
        raise Error(exc.code, f"layer {number} ({digest}){where}: {exc.what}", exc.hint, details) from exc
