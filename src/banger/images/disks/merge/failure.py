"""Errors of layers, from failures to read their archives.

The readers know at most the name of an entry; `naming_layer` adds the layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from banger.errors import Error
from banger.tar.failure import Corrupt, Refused, TooLarge, printable

_CODES = {Corrupt: "layer_corrupt", Refused: "layer_refused", TooLarge: "layer_too_large"}
_HINTS = {
    Corrupt: "pull it again; if that does not help, the image itself is damaged",
    Refused: "build the image differently",
    TooLarge: "raise the limits of imports if you trust an image of that size",
}


@contextmanager
def naming_layer(number: int, digest: str) -> Iterator[None]:
    """Turn a `TarFailure` of the body into an `Error` that names the layer; 1 is the lowest."""
    try:
        yield
    except (Corrupt, Refused, TooLarge) as exc:
        kind = type(exc)
        details: dict[str, object] = {"layer": number, "digest": digest}
        where = ""
        if exc.entry is not None:
            details["entry"] = printable(exc.entry)
            where = f", entry '{details['entry']}'"
        message = f"layer {number} ({digest}){where}: {exc.what}"
        raise Error(_CODES[kind], message, _HINTS[kind], details) from exc
