"""The structs of the API as types of TypeScript, for the browser's half. Pure.

Answers have every field, so no field is optional; a request takes the fields that it needs with `Partial` or `Pick`.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from banger.api.verb import Download, Feed, Session, Verb

_HEAD = "// Written by `python -m banger.api.generate` from the API's table; not by hand.\n"
_PLAIN = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null", Any: "unknown"}
_LISTS = (list, tuple)
_MAPS = (dict, Mapping)


def written_types(verbs: Iterable[Verb[Any, Any]], sessions: Iterable[Session[Any]]) -> str:
    """The module with an interface for each struct that requests and answers have, in the order of their names."""
    found: dict[str, type] = {}
    for kind in _kinds(verbs, sessions):
        _collect(kind, found)
    return _HEAD + "".join("\n" + _interface(found[name]) for name in sorted(found))


def _kinds(verbs: Iterable[Verb[Any, Any]], sessions: Iterable[Session[Any]]) -> Iterator[Any]:
    for verb in verbs:
        if isinstance(verb, Feed):
            yield from verb.lines
        elif not isinstance(verb, Download):
            yield verb.result
        yield from typing.get_type_hints(verb.request).values()
    for session in sessions:
        yield from typing.get_type_hints(session.request).values()


def _collect(kind: Any, found: dict[str, type]) -> None:
    origin = get_origin(kind)
    if origin is Literal:
        return
    for one in get_args(kind):
        _collect(one, found)
    struct = origin or kind
    if isinstance(struct, type) and issubclass(struct, msgspec.Struct) and struct.__name__ not in found:
        found[struct.__name__] = struct
        for hint in typing.get_type_hints(struct).values():
            _collect(hint, found)


def _interface(struct: type) -> str:
    parameters = [one.__name__ for one in getattr(struct, "__parameters__", ())]
    name = struct.__name__ + (f"<{', '.join(parameters)}>" if parameters else "")
    config: Any = struct.__struct_config__  # type: ignore[attr-defined]
    fields = [f'  {config.tag_field}: "{config.tag}";\n'] if config.tag_field else []
    fields += [f"  {field}: {_written(hint)};\n" for field, hint in typing.get_type_hints(struct).items()]
    return f"export interface {name} {{\n{''.join(fields)}}}\n"


def _written(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " | ".join(f'"{one}"' for one in arguments)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(_written(one) for one in arguments))
    if origin in _LISTS:
        return f"Array<{_written(arguments[0])}>"
    if origin in _MAPS:
        return f"Record<{_written(arguments[0])}, {_written(arguments[1])}>"
    if origin is not None:
        return f"{origin.__name__}<{', '.join(_written(one) for one in arguments)}>"
    if isinstance(hint, TypeVar):
        return hint.__name__
    if hint in _PLAIN:
        return _PLAIN[hint]
    if issubclass(hint, Enum):
        return " | ".join(f'"{member.value}"' for member in hint)
    return str(hint.__name__)
