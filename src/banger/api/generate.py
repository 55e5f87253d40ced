"""Writes the files that derive from the table: the client's calls and rooms, and the table of docs/api.md.

    python -m banger.api.generate

The client has plain functions rather than the table, so that the command line starts without the structs, and so that
editors and type checkers see each argument. A test compares these files with what this would write.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from banger.api.table import SESSIONS, VERBS
from banger.api.verb import Download, Feed, Upload, Verb, type_name
from banger.model.machine import MachineSpec

_PACKAGE = Path(__file__).parents[1]
_WIDTH = 110
_HEAD = '"""{what}\n\nWritten by `python -m banger.api.generate` from the API\'s table; not by hand.\n"""'
# With more optional arguments than these, they are keyword-only.
_POSITIONAL_MAX = 4
_PLAIN = (str, int, float, bool, type(None))
_BEGIN, _END = "<!-- the table: begin -->\n", "<!-- the table: end -->\n"


class _Argument:
    """One argument of a call's function."""

    def __init__(self, field: msgspec.structs.FieldInfo, hint: Any) -> None:
        self.name = field.name
        self.required = field.required
        self.is_plain = isinstance(field.default, _PLAIN) and not field.required
        self.default = repr(field.default) if self.is_plain else "None"
        self.default = self.default.replace("'", '"')
        self.kind = _written(hint)

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


def written_files() -> dict[Path, str]:
    """The path and the text of each generated file."""
    document = _PACKAGE.parents[1] / "docs/api.md"
    return {
        _PACKAGE / "client/calls.py": "".join(_calls()),
        _PACKAGE / "client/sync_rooms.py": "".join(_rooms("sync")),
        _PACKAGE / "client/aio_rooms.py": "".join(_rooms("aio")),
        document: _documented(document.read_text(encoding="utf-8")),
    }


def _calls() -> Iterator[str]:
    yield (
        _HEAD.format(what="Every call of the API as a function: what to send, and the type of the answer.")
        + "\n"
    )
    yield "# fmt: off\n\nfrom __future__ import annotations\n\nfrom collections.abc import Iterable\n\n"
    yield "from banger.client.call import Call, Pieces, chosen\n"
    yield "from banger.client.http1 import encode_query, quote\n\n"
    yield "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from typing import Any, Literal, TypedDict\n\n"
    yield "    from banger.client.call import Facts\n"
    yield from _model_imports()
    yield "\n    class SpecOptions(TypedDict, total=False):\n"
    yield '        """The fields of MachineSpec that have defaults."""\n\n'
    for argument in _arguments(MachineSpec):
        if not argument.required and argument.name != "command":
            yield f"        {argument.name}: {argument.kind}\n"
    for verb in VERBS:
        yield "\n\n" + _function(verb)
    for session in SESSIONS:
        signature = ", ".join(f"{name}: str" for name in session.in_path)
        yield f"\n\ndef {session.name.replace('.', '_')}_target({signature}) -> str:\n"
        yield f'    """The path of a stream: {_lower(session.summary)}."""\n'
        yield f"    return {_target(session.path)}\n"


def _model_imports() -> Iterator[str]:
    """Imports of all types in the table, by module."""
    found: dict[str, set[str]] = {}
    for verb in VERBS:
        result = () if isinstance(verb, (Download, Feed)) else (verb.result,)
        for kind in (*result, *typing.get_type_hints(verb.request).values()):
            for struct in _structs(kind):
                found.setdefault(struct.__module__, set()).add(struct.__name__)
    for struct in (s for hint in typing.get_type_hints(MachineSpec).values() for s in _structs(hint)):
        found.setdefault(struct.__module__, set()).add(struct.__name__)
    found["banger.model.machine"].discard("MachineSpec")
    for module in sorted(found):
        names = sorted(found[module])
        line = f"    from {module} import {', '.join(names)}\n"
        yield line if len(line) <= _WIDTH else _hanging(f"    from {module} import (", names, "    )\n")


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


def _arguments(struct: type[msgspec.Struct]) -> list[_Argument]:
    hints = typing.get_type_hints(struct)
    return [_Argument(field, hints[field.name]) for field in msgspec.structs.fields(struct)]


def _function(verb: Verb[Any, Any]) -> str:
    arguments = _arguments(verb.request)
    body = [a for a in arguments if a.name in verb.in_body]
    if verb.body:
        body = _arguments(verb.body_type)
        arguments = [*body, *(a for a in arguments if a.name != verb.body)]
    answer = "bytes" if isinstance(verb, (Download, Feed)) else type_name(verb.result)
    lines = [*_signature(verb, arguments, answer), f'    """{verb.summary}."""']
    target = _target(verb.path)
    if verb.query:
        query = [a.chosen for a in arguments if a.name in verb.query]
        lines += _statement("    query = chosen(", query, ")")
        target += " + encode_query(query)"
    sent = [f'"{verb.method}"', target, f'"{answer}"']
    if isinstance(verb, Upload):
        sent.append(f'Pieces(stream, "{verb.takes}")')
    elif body:
        lines += _statement("    body = chosen(", [a.chosen for a in body], ")")
        sent.append("body or None" if verb.body_is_optional else "body")
    if verb.header:
        sent.append(f"key={next(iter(verb.header))}")
    return "\n".join([*lines, *_statement("    return Call(", sent, ")")]) + "\n"


def _signature(verb: Verb[Any, Any], arguments: list[_Argument], answer: str) -> list[str]:
    required = [a.declared for a in arguments if a.required]
    if isinstance(verb, Upload):
        required.append("stream: Iterable[bytes]")
    optional = [a.declared for a in arguments if not a.required]
    if len(optional) > _POSITIONAL_MAX:
        optional.insert(0, "*")
    return _statement(f"def {verb.call_name}(", [*required, *optional], f") -> Call[{answer}]:")


def _target(path: str) -> str:
    """The path as source code, which quotes its fields."""
    path = path.replace(":path}", "}")
    return f'"{path}"' if "{" not in path else 'f"' + path.replace("{", "{quote(").replace("}", ")}") + '"'


def _rooms(flavour: str) -> Iterator[str]:
    what = "The nouns of the API as classes, whose methods are its verbs"
    yield (
        _HEAD.format(what=f"{what} ({'blocking' if flavour == 'sync' else 'for asyncio'}).")
        + "\n# fmt: off\n\n"
    )
    yield "from __future__ import annotations\n\nfrom banger.client import calls\n"
    yield f"from banger.client.{flavour}_methods import Bytes, Method, Room\n"
    for room in dict.fromkeys(verb.room for verb in VERBS):
        yield f"\n\nclass {room.capitalize()}Verbs(Room):\n"
        for verb in VERBS:
            if verb.room == room and not isinstance(verb, Feed):
                kind = "Bytes" if isinstance(verb, Download) else "Method"
                yield f"    {verb.name.partition('.')[2]} = {kind}(calls.{verb.call_name})\n"


def _documented(text: str) -> str:
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return before + _BEGIN + "".join(_document_rows()) + _END + after


def _document_rows() -> Iterator[str]:
    yield "| method | path | what | request → answer | errors |\n|---|---|---|---|---|\n"
    for verb in VERBS:
        path = verb.documented_path + _shown_query(verb)
        codes = " ".join(f"`{code}`" for code in verb.errors)
        yield f"| {verb.method} | `{path}` | {verb.summary} | {_shown_exchange(verb)} | {codes} |\n"
    for session in SESSIONS:
        codes = " ".join(f"`{code}`" for code in session.errors)
        exchange = f"`{session.request.__name__}`, then a stream"
        yield f"| WebSocket | `{session.path}` | {session.summary} | {exchange} | {codes} |\n"


def _shown_query(verb: Verb[Any, Any]) -> str:
    return "?" + "&".join(f"{name}=" for name in verb.query) if verb.query else ""


def _shown_exchange(verb: Verb[Any, Any]) -> str:
    if isinstance(verb, Feed):
        answer = "NDJSON: " + " or ".join(f"`{kind.__name__}`" for kind in verb.lines)
    elif isinstance(verb, Download):
        answer = f"`{verb.media}`"
    elif verb.result is type(None):
        answer = "204"
    else:
        answer = (
            f"`{type_name(verb.result)}`"
            if verb.status == 200
            else f"{verb.status} `{type_name(verb.result)}`"
        )
    if isinstance(verb, Upload):
        return f"`{verb.takes}` → {answer}"
    if verb.body:
        return f"`{verb.body_type.__name__}` → {answer}"
    body = ", ".join(f'"{n}"' + ("" if verb.fields[n].required else "?") for n in verb.in_body)
    return f"`{{{body}}}` → {answer}" if body else f"→ {answer}"


def _statement(begin: str, parts: list[str], end: str) -> list[str]:
    line = begin + ", ".join(parts) + end
    if len(line) <= _WIDTH:
        return [line]
    indent = " " * (len(begin) - len(begin.lstrip()))
    return [begin, *(f"{indent}    {part}," for part in parts), indent + end]


def _hanging(begin: str, parts: list[str], end: str) -> str:
    return "\n".join([begin, *(f"        {part}," for part in parts), end])


def _written(hint: Any) -> str:
    """A type as source code."""
    origin = get_origin(hint)
    if origin is Literal:
        return "Literal[" + ", ".join(f'"{one}"' for one in get_args(hint)) + "]"
    if origin in (typing.Union, types.UnionType):
        return " | ".join(_written(one) for one in get_args(hint))
    if origin is not None:
        return f"{origin.__name__}[{', '.join(_written(one) for one in get_args(hint))}]"
    if hint is type(None):
        return "None"
    # Callers may pass structs or JSON-ready data.
    return f"{hint.__name__} | Facts" if issubclass(hint, msgspec.Struct) else str(hint.__name__)


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def main() -> None:
    for path, text in written_files().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
