"""A catalog's index: bytes ↔ values. Pure.

The publisher may have a newer banger than the reader: unknown fields and unknown kinds of sources are ignored, and an
entry that needs a newer banger stays listed, with an error for a user who asks for it. But a known field with a wrong
value makes the whole index invalid: the publisher signed it like that, and has to hear of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from banger import __version__
from banger.errors import Error
from banger.model.catalog import Entry, Index
from banger.model.sizes import MIB

FORMAT = 1
MAX_BYTES = 16 * MIB
_KINDS = ("bundle", "oci", "debian")
_NUMBERS = re.compile(r"[0-9]+")
Version = tuple[int, ...]
E = TypeVar("E", bound=Entry)


def parse_index(data: bytes) -> Index:
    """Raises `catalog_invalid`, `unsupported` for a format of the future."""
    if len(data) > MAX_BYTES:
        raise invalid(f"the index has {len(data)} bytes; at most {MAX_BYTES} are allowed")
    try:
        raw = msgspec.json.decode(data)
        if isinstance(raw, dict) and raw.get("format", FORMAT) not in (FORMAT,):
            raise Error(
                "unsupported", f"the catalog has the unknown format {raw['format']!r}", "use a newer banger"
            )
        index = msgspec.convert(_known(raw), Index)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise invalid(f"the index is malformed: {ascii(str(exc))[1:301]}") from exc
    _check_names(index.images, "image")
    _check_names(index.kernels, "kernel")
    return index


def first_unknown(data: bytes, index: Index) -> str:
    """The path of something in `data` that this banger does not know; "" if it knows everything. `index` was read from
    `data`; writing `index` again would lose the unknown things."""
    return _first_missing(msgspec.json.decode(data), msgspec.to_builtins(index))


def _first_missing(raw: Any, known: Any, path: str = "") -> str:
    if isinstance(raw, list) and len(raw) != len(known):
        return path  # an unknown kind of source was left out
    inner = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    for key, value in inner:
        here = f"{path}/{key}"
        if isinstance(raw, dict) and key not in known:
            return here
        if found := _first_missing(value, known[key], here):
            return found
    return ""


def encode_index(index: Index) -> bytes:
    """JSON that people can read: indented by two spaces, one field per line."""
    return msgspec.json.format(msgspec.json.encode(index), indent=2) + b"\n"


def check_usable(entry: Entry) -> None:
    """Raises `unsupported` for an entry that needs a newer banger."""
    if entry.min_banger and _version(entry.min_banger) > _version(__version__):
        raise Error(
            "unsupported",
            f"{entry.name} needs banger {entry.min_banger}, this is {__version__}",
            "upgrade banger",
        )
    if not entry.sources:
        raise Error("unsupported", f"this banger knows none of the sources of {entry.name}", "upgrade banger")


def select(entries: Iterable[E], name: str, architecture: str) -> E | None:
    """The entry with this name, or else with this alias."""
    fitting = [entry for entry in entries if entry.architecture == architecture]
    by_name = next((entry for entry in fitting if entry.name == name), None)
    return by_name or next((entry for entry in fitting if name in entry.aliases), None)


def invalid(message: str, hint: str = "tell the publisher of the catalog") -> Error:
    return Error("catalog_invalid", message, hint)


def _known(raw: Any) -> Any:
    """The raw index without sources of kinds that only a newer banger knows."""
    for kind in ("images", "kernels"):
        entries = raw.get(kind) if isinstance(raw, dict) else None
        for entry in entries if isinstance(entries, list) else []:
            sources = entry.get("sources") if isinstance(entry, dict) else None
            if isinstance(sources, list):
                entry["sources"] = [source for source in sources if not _is_foreign(source)]
    return raw


def _is_foreign(source: Any) -> bool:
    kind = source.get("type") if isinstance(source, dict) else None
    return isinstance(kind, str) and kind not in _KINDS


def _check_names(entries: Sequence[Entry], what: str) -> None:
    """Raises `catalog_invalid` if two entries of one architecture have the same name. An alias may equal the name of
    another entry: then the name counts."""
    seen: set[tuple[str, str]] = set()
    for entry in entries:
        key = (entry.architecture, entry.name)
        if key in seen:
            raise invalid(f"it lists the {what} {entry.name} for {entry.architecture} twice")
        seen.add(key)


def _version(text: str) -> Version:
    """A version as four numbers, so that 1.2 equals 1.2.0."""
    numbers = [int(number) for number in _NUMBERS.findall(text)[:4]]
    return (*numbers, *[0] * (4 - len(numbers)))
