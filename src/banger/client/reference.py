"""docs/sdk.md, made from the SDK's classes: `python -m banger.client.reference > docs/sdk.md`.

Reads signatures and docstrings of the blocking half; the half for asyncio has the same names.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from banger.client import sync_rooms
from banger.client.file_events import FileEvent
from banger.client.guest_files import FileEntry
from banger.client.outputs import Said
from banger.client.planning import Availability
from banger.client.results import CompletedRun
from banger.client.sync import Client, Machines, Operations, System
from banger.client.sync_files import Files
from banger.client.sync_process import DetachedProcess, Process
from banger.client.sync_vm import Vm, Vms
from banger.client.sync_watch import Watch
from banger.errors import CODES, Error
from banger.model.machine import MachineSpec

_WIDTH = 100
_HEAD = """\
# The SDK, class by class

`python -m banger.client.reference` writes this page from the code; a test fails when the page is not current.
[python.md](python.md) introduces the SDK with examples.

The classes below are the blocking half. `AsyncClient` and `AsyncVm` have the same names for asyncio: there, methods are
awaited, iterators are asynchronous, and `with` is `async with`. All failures are [`banger.Error`](#bangererror).

`Text` is `str` or `bytes`: names in Linux are bytes, and text is sent as UTF-8. `Env` maps names of variables to
values. `Heard` is a function that is called with each `Progress` of long work. `SpecOptions` are the
[fields of a machine](#fields-of-a-machine).
"""
# The objects of a program, in the order in which it meets them: the name here, the class, how an object is called.
_CLASSES: tuple[tuple[str, type, str], ...] = (
    ("Client", Client, "client"),
    ("Vm", Vm, "vm"),
    ("Vms", Vms, "vms"),
    ("Files", Files, "vm.files"),
    ("Process", Process, "process"),
    ("DetachedProcess", DetachedProcess, "process"),
    ("CompletedRun", CompletedRun, "done"),
    ("Watch", Watch, "changes"),
)
_RECORDS: tuple[type, ...] = (Said, FileEntry, FileEvent, Availability)
_ROOMS: tuple[tuple[str, type], ...] = (
    ("machines", Machines),
    ("images", sync_rooms.ImagesVerbs),
    ("kernels", sync_rooms.KernelsVerbs),
    ("catalogs", sync_rooms.CatalogsVerbs),
    ("templates", sync_rooms.TemplatesVerbs),
    ("snapshots", sync_rooms.SnapshotsVerbs),
    ("networks", sync_rooms.NetworksVerbs),
    ("operations", Operations),
    ("system", System),
    ("access", sync_rooms.AccessVerbs),
    ("tokens", sync_rooms.TokensVerbs),
)
# Of what carries calls: for the SDK's own modules.
_INNER = {"dial", "open", "perform", "begun", "ended", "wait_for_bytes", "entered"}


def reference() -> Iterator[str]:
    """The page, in pieces that lines separate."""
    yield _HEAD
    for name, kind, spoken in _CLASSES:
        yield f"## {name}\n"
        yield _told(kind)
        if name == "Client":
            yield _code(_signature("Client", Client.__init__))
        yield from _members(kind, spoken)
    yield "## Small results\n"
    for record in _RECORDS:
        fields = ", ".join(f"`{name}`" for name in record._fields)  # type: ignore[attr-defined]
        yield f"### {record.__name__}\n\n{_told(record)}\nFields: {fields}.\n"
    yield from _errors()
    yield from _spec()
    yield "## The verbs of the API\n"
    yield (
        "`client.machines`, `client.images` and the others have each verb of the [API](api.md) as it is. Long work\n"
        "returns an `Operation`, and `client.operations.wait(operation)` waits for it.\n"
    )
    for name, kind in _ROOMS:
        yield f"### client.{name}\n"
        yield from _verbs(kind)


def _members(kind: type, spoken: str) -> Iterator[str]:
    """Properties and methods, in the order of the source, those of the class before those of its bases."""
    attributes = [(name, value) for name, value in _own(kind) if isinstance(value, property)]
    if attributes:
        yield "| attribute | |\n|---|---|"
        for name, value in attributes:
            kind_of = inspect.signature(value.fget).return_annotation if value.fget else ""
            kind_of = _plain(kind_of).replace("|", "\\|")
            yield f"| `{name}` | `{kind_of}`{_after(value.__doc__)} |"
        yield ""
    for name, value in _own(kind):
        if inspect.isfunction(value):
            yield f"### {spoken}.{name}\n"
            yield _code(_signature(name, value))
            if value.__doc__:
                yield _told(value)


def _own(kind: type) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for base in kind.__mro__:
        if not base.__module__.startswith("banger."):
            continue
        for name, value in vars(base).items():
            if not name.startswith("_") and name not in seen | _INNER:
                seen.add(name)
                yield name, value


def _verbs(kind: type) -> Iterator[str]:
    for name, value in _own(kind):
        if inspect.isfunction(value):
            yield _code(_signature(name, value)) + f"\n{_paragraphs(value.__doc__)}"


def _signature(name: str, function: Callable[..., Any]) -> str:
    """A call as a person writes it, with types and defaults, on one line if it fits."""
    found = inspect.signature(function)
    words: list[str] = []
    starred = False
    for parameter in found.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            words.append("*")
            starred = True
        prefix = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        default = "" if parameter.default is parameter.empty else f" = {_value(parameter.default)}"
        words.append(f"{prefix}{parameter.name}: {_plain(parameter.annotation)}{default}")
    answer = "" if name == "Client" else f" -> {_plain(found.return_annotation)}"
    line = f"{name}({', '.join(words)}){answer}"
    if len(line) <= _WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {word},\n" for word in words if word) + f"){answer}"


def _value(value: object) -> str:
    """As Python writes it, with the quotes of this project."""
    return repr(value).replace("'", '"')


def _plain(annotation: object) -> str:
    """A type without the names of modules."""
    return re.sub(r"\b(?:builtins|typing|collections\.abc)\.", "", str(annotation))


def _code(text: str) -> str:
    return f"```text\n{text}\n```\n"


def _told(thing: Any) -> str:
    return _paragraphs(thing.__doc__)


def _paragraphs(docstring: str | None) -> str:
    """A docstring as Markdown. Names such as `*args` and `__init__` stand in backticks there already."""
    return f"{inspect.cleandoc(docstring or '')}\n"


def _after(docstring: str | None) -> str:
    text = " ".join(inspect.cleandoc(docstring or "").split())
    return f": {text[:1].lower()}{text[1:]}" if text else ""


def _errors() -> Iterator[str]:
    yield "## banger.Error\n"
    yield _told(Error)
    yield (
        "`banger.errors` has a class for each code that programs decide by. The others are `banger.Error` itself;\n"
        "[errors.md](errors.md) has all codes.\n"
    )
    yield "| class | codes | |\n|---|---|---|"
    by_class: dict[type[Error], list[str]] = {}
    for code in CODES:
        by_class.setdefault(type(Error(code, "")), []).append(code)
    for kind in sorted(by_class.keys() - {Error}, key=lambda kind: kind.__name__):
        codes = ", ".join(f"`{code}`" for code in by_class[kind])
        yield f"| `{kind.__name__}` | {codes} | {' '.join((kind.__doc__ or '').split())} |"
    yield ""


def _spec() -> Iterator[str]:
    yield "## Fields of a machine\n"
    yield (
        "`client.run` and `client.machines.create` take these fields as arguments. `memory` and `disk` of\n"
        "`client.run` are `memory_mib` and `disk_bytes`, written as sizes.\n"
    )
    yield _told(MachineSpec)
    yield "| field | default |\n|---|---|"
    for field in msgspec.structs.fields(MachineSpec):
        yield f"| `{field.name}` | {'required' if field.required else f'`{_value(_default(field))}`'} |"
    yield ""


def _default(field: msgspec.structs.FieldInfo) -> object:
    made = field.default_factory
    return field.default if made is msgspec.NODEFAULT else made()


if __name__ == "__main__":
    print("\n".join(reference()), end="")
