"""Parts of Python source made from the table: arguments, types, statements that fit the line."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args, get_origin

import msgspec

from banger.api.verb import Download, Feed, Upload, Verb, type_name

WIDTH = 110
# With more optional arguments than these, they are keyword-only.
POSITIONAL_MAX = 4
_HEAD = '"""{what}\n\nWritten by `python -m banger.api.generate` from {origin}; not by hand.\n"""\n'
_PLAIN = (str, int, float, bool, type(None))


class Argument:
    """One argument of a call's function."""

    def __init__(self, field: msgspec.structs.FieldInfo, hint: Any) -> None:
        self.name = field.name
        self.required = field.required
        self.is_plain = isinstance(field.default, _PLAIN) and not field.required
        self.default = repr(field.default) if self.is_plain else "None"
        self.default = self.default.replace("'", '"')
        self.kind = written(hint)

    @property
    def declared(self) -> str:
        may_lack = not self.required and not self.is_plain and "None" not in self.kind
        kind = f"{self.kind} | None" if may_lack else self.kind
        return f"{self.name}: {kind}" + ("" if self.required else f" = {self.default}")

    @property
    def chosen(self) -> str:
        """The entry for `chosen`: name, value, default; a field without a default is always sent."""
        return (
            f'("{self.name}", {self.name})'
            if self.required
            else f'("{self.name}", {self.name}, {self.default})'
        )


def head(what: str, origin: str = "the API's table") -> str:
    """The docstring of a written module."""
    return _HEAD.format(what=what, origin=origin)


def arguments_of(struct: type[msgspec.Struct]) -> list[Argument]:
    hints = typing.get_type_hints(struct)
    return [Argument(field, hints[field.name]) for field in msgspec.structs.fields(struct)]


def call_arguments(verb: Verb[Any, Any]) -> list[Argument]:
    """The arguments of a call's function, in their order; those of a whole body are its fields."""
    arguments = arguments_of(verb.request)
    if not verb.body:
        return arguments
    return [*arguments_of(verb.body_type), *(a for a in arguments if a.name != verb.body)]


def parameters(verb: Verb[Any, Any], arguments: list[Argument]) -> list[str]:
    """The parameters as the function declares them, with types and defaults."""
    required = [a.declared for a in arguments if a.required]
    if isinstance(verb, Upload):
        required.append("stream: Iterable[bytes]")
    optional = [a.declared for a in arguments if not a.required]
    if len(optional) > POSITIONAL_MAX:
        optional.insert(0, "*")
    return [*required, *optional]


def passed_on(verb: Verb[Any, Any], arguments: list[Argument]) -> list[str]:
    """The same parameters as another function passes them on."""
    required = [a.name for a in arguments if a.required]
    if isinstance(verb, Upload):
        required.append("stream")
    optional = [a.name for a in arguments if not a.required]
    if len(optional) > POSITIONAL_MAX:
        optional = [f"{name}={name}" for name in optional]
    return [*required, *optional]


def answer_of(verb: Verb[Any, Any]) -> str:
    """The type of the answer, as a `Call` names it."""
    return "bytes" if isinstance(verb, (Download, Feed)) else type_name(verb.result)


def model_imports(kinds: Iterable[Any]) -> Iterator[str]:
    """Imports of all structs in these types, by module."""
    found: dict[str, set[str]] = {}
    for struct in (s for kind in kinds for s in _structs(kind)):
        found.setdefault(struct.__module__, set()).add(struct.__name__)
    for module in sorted(found):
        names = sorted(found[module])
        line = f"    from {module} import {', '.join(names)}\n"
        yield line if len(line) <= WIDTH else hanging(f"    from {module} import (", names, "    )\n")


def kinds_of(verb: Verb[Any, Any]) -> Iterator[Any]:
    """The types that a verb's call has."""
    if not isinstance(verb, (Download, Feed)):
        yield verb.result
    yield from (hint for name, hint in _hints(verb.request).items() if name != verb.body)
    if verb.body:
        yield from _hints(verb.body_type).values()


def _hints(struct: type) -> dict[str, Any]:
    return typing.get_type_hints(struct)


def _structs(kind: Any) -> Iterator[type]:
    origin = get_origin(kind)
    if origin is Literal:
        return
    if origin is not None:
        if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
            yield origin
        for one in get_args(kind):
            yield from _structs(one)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind


def statement(begin: str, parts: list[str], end: str) -> list[str]:
    """A statement with parts between brackets, in one line if it fits."""
    line = begin + ", ".join(parts) + end
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(begin) - len(begin.lstrip()))
    return [begin, *(f"{indent}    {part}," for part in parts), indent + end]


def hanging(begin: str, parts: list[str], end: str) -> str:
    return "\n".join([begin, *(f"        {part}," for part in parts), end])


def written(hint: Any) -> str:
    """A type as source code."""
    origin = get_origin(hint)
    if origin is Literal:
        return "Literal[" + ", ".join(f'"{one}"' for one in get_args(hint)) + "]"
    if origin in (typing.Union, types.UnionType):
        return " | ".join(written(one) for one in get_args(hint))
    if origin is not None:
        return f"{origin.__name__}[{', '.join(written(one) for one in get_args(hint))}]"
    if hint is type(None):
        return "None"
    # Callers may pass structs or JSON-ready data.
    return f"{hint.__name__} | Facts" if issubclass(hint, msgspec.Struct) else str(hint.__name__)
