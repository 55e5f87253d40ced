"""The client's rooms as source: the nouns of the API as classes, and a machine's verbs as methods of the machine.

Each verb is written out, so that editors, `help()` and type checkers see its arguments and its answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, get_args, get_origin

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
from banger.model.operation import Operation

Row = Verb[Any, Any]
# The machine object has these by hand: under other names, or with answers of its own.
_BY_HAND = {
    "get",
    "fork",
    "snapshot",
    "restore",
    "logs",
    "exec_detached",
    "get_files",
    "put_files",
    "stat_file",
}
_FLAVOURS = {"sync": ("blocking", "", ""), "aio": ("for asyncio", "async ", "await ")}


def written_rooms(verbs: Iterable[Row]) -> dict[str, str]:
    """Name and text of each file."""
    rows = [verb for verb in verbs if not isinstance(verb, Feed)]
    return {
        f"{flavour}_{name}.py": "".join(write(rows, flavour))
        for flavour in _FLAVOURS
        for name, write in (("rooms", _rooms), ("machine_verbs", _machine_verbs))
    }


def _rooms(rows: list[Row], flavour: str) -> Iterator[str]:
    what = "The nouns of the API as classes, whose methods are its verbs"
    yield head(f"{what} ({_FLAVOURS[flavour][0]}).")
    yield from _imports(rows, flavour, f"from banger.client.{flavour}_methods import Room\n")
    for room in dict.fromkeys(verb.room for verb in rows):
        yield f"\n\nclass {room.capitalize()}Verbs(Room):\n"
        yield "\n".join(_method(verb, flavour) for verb in rows if verb.room == room)


def _machine_verbs(rows: list[Row], flavour: str) -> Iterator[str]:
    own = [v for v in rows if v.name.startswith("machines.") and "machine" in v.in_path]
    own = [v for v in own if v.name.partition(".")[2] not in _BY_HAND]
    yield head(f"What the API does with one machine, as methods of the machine ({_FLAVOURS[flavour][0]}).")
    yield from _imports(own, flavour, f"from banger.client.{flavour}_waiting import OneMachine\n", own=True)
    yield "\n\nclass MachineVerbs(OneMachine):\n"
    yield "\n".join(_own_method(verb, flavour) for verb in own)


def _imports(rows: list[Row], flavour: str, base: str, own: bool = False) -> Iterator[str]:
    iterators = "AsyncIterator, Iterable" if flavour == "aio" else "Iterable, Iterator"
    kinds = [kind for verb in rows for kind in kinds_of(verb)]
    yield "# fmt: off\n\nfrom __future__ import annotations\n\n"
    if not own:
        yield f"import builtins\nfrom collections.abc import {iterators}\n"
    yield f"from typing import TYPE_CHECKING, {'Literal' if own else 'Any, Literal'}\n\n"
    yield "from banger.client import calls\n" + base + "\nif TYPE_CHECKING:\n"
    if own:
        # Its methods return what an operation made.
        yield "    from banger.client.results import Heard\n"
        kinds = [get_args(kind)[0] if get_origin(kind) is Operation else kind for kind in kinds]
    else:
        yield "    from banger.client.call import Facts\n"
    yield from model_imports(kinds)


def _method(verb: Row, flavour: str) -> str:
    """A verb as a method of its room."""
    arguments = call_arguments(verb)
    declared = list(map(_builtin, parameters(verb, arguments)))
    answer = _builtin(answer_of(verb))
    if isinstance(verb, Download):
        answer = "AsyncIterator[bytes]" if flavour == "aio" else "Iterator[bytes]"
    return _written(verb, flavour, declared, answer, "client.perform", passed_on(verb, arguments))


def _own_method(verb: Row, flavour: str) -> str:
    """A verb as a method of a machine: it names the machine itself, and operations are waited for."""
    arguments = [a for a in call_arguments(verb) if a.name != "machine"]
    declared, called = parameters(verb, arguments), ["self.id", *passed_on(verb, arguments)]
    answer = answer_of(verb)
    if answer.startswith("Operation["):
        answer = answer.removeprefix("Operation[").removesuffix("]")
        declared += ["*", "progress: Heard | None = None", "timeout_s: float | None = None"]
        way = "_finish_and_keep" if answer == "Machine" else "_finish"
        return _written(verb, flavour, declared, answer, way, called, ", progress, timeout_s")
    way = "_perform_and_keep" if answer == "Machine" else "client.perform"
    return _written(verb, flavour, declared, answer, way, called)


def _written(
    verb: Row, flavour: str, declared: list[str], answer: str, way: str, called: list[str], more: str = ""
) -> str:
    _, begin, wait = _FLAVOURS[flavour]
    name = verb.name.partition(".")[2]
    lines = statement(f"    {begin}def {name}(", ["self", *declared], f") -> {answer}:")
    lines.append(f'        """{verb.summary}."""')
    lines += statement(f"        call = calls.{verb.call_name}(", called, ")")
    if not isinstance(verb, Download):
        lines.append(f"        return {wait}self.{way}(call{more})")
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
