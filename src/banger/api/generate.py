"""Writes the files that derive from others: from the table the client's calls, rooms and verbs of machines, the table
of docs/api.md and the types of the browser's half; from what the client has for asyncio its blocking half.

    python -m banger.api.generate

The client has plain functions rather than the table, so that the command line starts without the structs, and so that
editors and type checkers see each argument. A test compares these files with what this would write.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from banger.api.blocking import without_asyncio
from banger.api.generate_rooms import written_rooms
from banger.api.generate_typescript import written_types
from banger.api.source import (
    answer_of,
    arguments_of,
    call_arguments,
    head,
    kinds_of,
    model_imports,
    parameters,
    statement,
)
from banger.api.table import SESSIONS, VERBS
from banger.api.verb import Download, Feed, Upload, Verb, type_name
from banger.model.machine import MachineSpec

_PACKAGE = Path(__file__).parents[1]
# Modules that are written for asyncio, and whose blocking half derives from them.
_TWICE = (
    "client/aio.py",
    *(f"client/aio_{name}.py" for name in ("waiting", "process", "watch", "files", "vm", "front")),
    "compat/aio_sandbox.py",
)
_BEGIN, _END = "<!-- the table: begin -->\n", "<!-- the table: end -->\n"


def written_files() -> dict[Path, str]:
    """The path and the text of each generated file."""
    document = _PACKAGE.parents[1] / "docs/api.md"
    return {
        _PACKAGE / "client/calls.py": "".join(_calls()),
        **{_PACKAGE / f"client/{name}": text for name, text in written_rooms(VERBS).items()},
        **{_PACKAGE / name.replace("/aio", "/sync"): _blocking(name) for name in _TWICE},
        document: _documented(document.read_text(encoding="utf-8")),
        _PACKAGE.parents[1] / "ui/src/api/model.ts": written_types(VERBS, SESSIONS),
    }


def _blocking(name: str) -> str:
    source = _PACKAGE / name
    return without_asyncio(source.name, source.read_text(encoding="utf-8"))


def _calls() -> Iterator[str]:
    yield head("Every call of the API as a function: what to send, and the type of the answer.")
    yield "# fmt: off\n\nfrom __future__ import annotations\n\nfrom collections.abc import Iterable\n\n"
    yield "from banger.client.call import Call, Pieces, chosen\n"
    yield "from banger.client.http1 import encode_query, quote\n\n"
    yield "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from typing import Any, Literal, TypedDict\n\n"
    yield "    from banger.client.call import Facts\n"
    yield from model_imports(_kinds())
    yield "\n    class SpecOptions(TypedDict, total=False):\n"
    yield '        """The fields of MachineSpec that have defaults."""\n\n'
    for argument in arguments_of(MachineSpec):
        if not argument.required and argument.name != "command":
            yield f"        {argument.name}: {argument.kind}\n"
    for verb in VERBS:
        yield "\n\n" + _function(verb)
    for session in SESSIONS:
        signature = ", ".join(f"{name}: str" for name in session.in_path)
        yield f"\n\ndef {session.name.replace('.', '_')}_target({signature}) -> str:\n"
        yield f'    """The path of a stream: {_lower(session.summary)}."""\n'
        yield f"    return {_target(session.path)}\n"


def _kinds() -> Iterator[Any]:
    """The types that `calls` names."""
    for verb in VERBS:
        yield from kinds_of(verb)
    yield from typing.get_type_hints(MachineSpec).values()


def _function(verb: Verb[Any, Any]) -> str:
    arguments, answer = call_arguments(verb), answer_of(verb)
    elsewhere = {*verb.in_path, *verb.query, *verb.header}
    body = [a for a in arguments if a.name not in elsewhere]
    begin = statement(f"def {verb.call_name}(", parameters(verb, arguments), f") -> Call[{answer}]:")
    lines = [*begin, f'    """{verb.summary}."""']
    target = _target(verb.path)
    if verb.query:
        query = [a.chosen for a in arguments if a.name in verb.query]
        lines += statement("    query = chosen(", query, ")")
        target += " + encode_query(query)"
    sent = [f'"{verb.method}"', target, f'"{answer}"']
    if isinstance(verb, Upload):
        sent.append(f'Pieces(stream, "{verb.takes}")')
    elif body:
        lines += statement("    body = chosen(", [a.chosen for a in body], ")")
        sent.append("body or None" if verb.body_is_optional else "body")
    if verb.header:
        sent.append(f"key={next(iter(verb.header))}")
    return "\n".join([*lines, *statement("    return Call(", sent, ")")]) + "\n"


def _target(path: str) -> str:
    """The path as source code, which quotes its fields."""
    path = path.replace(":path}", "}")
    return f'"{path}"' if "{" not in path else 'f"' + path.replace("{", "{quote(").replace("}", ")}") + '"'


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


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def main() -> None:
    for path, text in written_files().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
