"""The client's rooms as source: the nouns of the API as classes, whose methods are its verbs.

Each verb is written out, so that editors, `help()` and type checkers see its arguments and its answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from banger.api.source import (
    answer_of,
    call_arguments,
    head,
    kinds_of,
    model_imports,
    parameters,
    passed_on,
    statement,
)
from banger.api.verb import Download, Feed, Verb

Row = Verb[Any, Any]
_FLAVOURS = {"sync": ("blocking", "", ""), "aio": ("for asyncio", "async ", "await ")}


def written_rooms(verbs: Iterable[Row]) -> dict[str, str]:
    """Name and text of each file."""
    rows = [verb for verb in verbs if not isinstance(verb, Feed)]
    return {f"{flavour}_rooms.py": "".join(_rooms(rows, flavour)) for flavour in _FLAVOURS}


def _rooms(rows: list[Row], flavour: str) -> Iterator[str]:
    what = "The nouns of the API as classes, whose methods are its verbs"
    yield head(f"{what} ({_FLAVOURS[flavour][0]}).")
    yield from _imports(rows, flavour, f"from banger.client.{flavour}_methods import Room\n")
    for room in dict.fromkeys(verb.room for verb in rows):
        yield f"\n\nclass {room.capitalize()}Verbs(Room):\n"
        yield "\n".join(_method(verb, flavour) for verb in rows if verb.room == room)


def _imports(rows: list[Row], flavour: str, base: str) -> Iterator[str]:
    iterators = "AsyncIterator, Iterable" if flavour == "aio" else "Iterable, Iterator"
    yield "# fmt: off\n\nfrom __future__ import annotations\n\n"
    yield f"import builtins\nfrom collections.abc import {iterators}\n"
    yield "from typing import TYPE_CHECKING, Any, Literal\n\n"
    yield "from banger.client import calls\n" + base + "\nif TYPE_CHECKING:\n"
    yield "    from banger.client.call import Facts\n"
    yield from model_imports(kind for verb in rows for kind in kinds_of(verb))


def _method(verb: Row, flavour: str) -> str:
    """A verb as a method of its room."""
    arguments = call_arguments(verb)
    declared = list(map(_builtin, parameters(verb, arguments)))
    answer = _builtin(answer_of(verb))
    if isinstance(verb, Download):
        answer = "AsyncIterator[bytes]" if flavour == "aio" else "Iterator[bytes]"
    return _written(verb, flavour, declared, answer, "client.perform", passed_on(verb, arguments))


def _written(verb: Row, flavour: str, declared: list[str], answer: str, way: str, called: list[str]) -> str:
    _, begin, wait = _FLAVOURS[flavour]
    name = verb.name.partition(".")[2]
    lines = statement(f"    {begin}def {name}(", ["self", *declared], f") -> {answer}:")
    lines.append(f'        """{verb.summary}."""')
    lines += statement(f"        call = calls.{verb.call_name}(", called, ")")
    if not isinstance(verb, Download):
        lines.append(f"        return {wait}self.{way}(call)")
    elif flavour == "aio":
        lines += [
            "        answer = await self.client.open(call)",
            "        async for piece in answer.chunks():",
        ]
        lines.append("            yield piece")
    else:
        lines.append("        return self.client.open(call).chunks()")
    return "\n".join(lines) + "\n"


def _builtin(kind: str) -> str:
    """A type in a class that has a method `list`."""
    return re.sub(r"\blist\[", "builtins.list[", kind)
