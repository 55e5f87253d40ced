"""How an image was made, as its configuration tells it. Nothing depends on what it says: a history that cannot be read
is none. Source: OCI image-spec config.md, `history`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from banger.images.reference.documents import Layer
from banger.model.image import ImageStep

_STEPS_MAX = 500
_TEXT_MAX = 400


class _Entry(Struct):
    """Go programs write empty fields as null."""

    created: str | None = None
    created_by: str | None = None
    comment: str | None = None
    empty_layer: bool | None = None


def steps_of(history: msgspec.Raw | None, layers: Sequence[Layer]) -> list[ImageStep]:
    """The steps from the lowest up; only the layers if there is no history, or one of another number of layers."""
    entries = _read(history)
    if len([entry for entry in entries if not entry.empty_layer]) != len(layers):
        entries = [_Entry() for _ in layers]
    rest = iter(layers)
    return [_step(entry, None if entry.empty_layer else next(rest)) for entry in entries]


def _read(history: msgspec.Raw | None) -> list[_Entry]:
    try:
        entries = msgspec.json.decode(history or b"null", type=list[_Entry] | None) or []
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return []
    return entries if len(entries) <= _STEPS_MAX else []


def _step(entry: _Entry, layer: Layer | None) -> ImageStep:
    return ImageStep(
        created=(entry.created or "")[:_TEXT_MAX],
        created_by=(entry.created_by or "")[:_TEXT_MAX],
        comment=(entry.comment or "")[:_TEXT_MAX],
        digest=layer.digest if layer else "",
        size_bytes=layer.size if layer else 0,
    )
