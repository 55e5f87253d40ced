"""Values of a Compose file, from nodes of its tree: text, numbers, durations, sizes, lists, mappings.

Each function raises `compose_invalid` with the place of what it does not take. Variables are replaced in each scalar
that is read, and nowhere else, so an extension (`x-...`) that nothing uses cannot fail.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeVar

from banger.compose.complaint import Place, refuse
from banger.compose.tree import Mapping as Map
from banger.compose.tree import Node, Scalar, Sequence
from banger.compose.variables import Variables
from banger.errors import Error
from banger.model.sizes import parse_size

T = TypeVar("T")

_TRUE, _FALSE = ("true", "yes", "on", "y"), ("false", "no", "off", "n")
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ns|us|µs|ms|s|m|h|d)")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?|\.[0-9]{1,9}")
_EXTENSION = "x-"


class Reader:
    """Reads the nodes of one project."""

    def __init__(self, variables: Variables) -> None:
        self.variables = variables

    def text(self, node: Node, what: str) -> str:
        if not isinstance(node, Scalar) or node.is_null:
            raise refuse(node.place, f"{what} must be text")
        text = self.variables.expand(node.text, node.place)
        if "\0" in text:
            raise refuse(node.place, f"{what} has a NUL character")
        if not is_unicode(text):
            raise refuse(node.place, f"{what} has characters that are not Unicode", "set the variables anew")
        return text

    def optional(self, node: Node, what: str) -> str | None:
        """The text; None for YAML's null."""
        return None if is_null(node) else self.text(node, what)

    def one_of(self, node: Node, what: str, choices: Collection[str]) -> str:
        text = self.text(node, what)
        if text not in choices:
            raise refuse(
                node.place, f"{what} {text!r} is not supported", f"write one of: {', '.join(choices)}"
            )
        return text

    def flag(self, node: Node, what: str) -> bool:
        word = self.text(node, what).lower()
        if word not in (*_TRUE, *_FALSE):
            raise refuse(node.place, f"{what} must be true or false, not {word!r}")
        return word in _TRUE

    def whole(self, node: Node, what: str, least: int, most: int) -> int:
        text = self.text(node, what)
        if not (text.isascii() and text.isdigit() and len(text) <= 12 and least <= int(text) <= most):
            raise refuse(node.place, f"{what} must be a whole number from {least} to {most}, not {text!r}")
        return int(text)

    def number(self, node: Node, what: str) -> float:
        """A number that is not negative."""
        text = self.text(node, what)
        if not _NUMBER.fullmatch(text):
            raise refuse(node.place, f"{what} must be a number, not {text!r}")
        return float(text)

    def seconds(self, node: Node, what: str, most: float = 86_400) -> float:
        """A duration such as "1m30s" or "500ms", in seconds."""
        text = self.text(node, what)
        found = _DURATION.findall(text)
        if text == "0":
            return 0.0
        if not found or "".join(number + unit for number, unit in found) != text:
            raise refuse(
                node.place, f"{what} must be a duration, not {text!r}", "write it like 1m30s or 500ms"
            )
        total = sum(float(number) * _UNITS_S[unit] for number, unit in found)
        if total > most:
            raise refuse(node.place, f"{what} of {text} is too long", f"the most is {most:g} s")
        return total

    def size_bytes(self, node: Node, what: str) -> int:
        """A size such as "512m" or "1.5gb"; a number alone is bytes, as in Compose."""
        text = self.text(node, what)
        try:
            return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else parse_size(text)
        except Error as exc:
            raise refuse(node.place, f"{what}: {exc.message}", "write it like 512m or 1g") from exc

    def texts(self, node: Node, what: str) -> list[str]:
        """A list of texts, or one text."""
        if isinstance(node, Sequence):
            return [self.text(item, what) for item in node.items]
        return [self.text(node, what)]

    def words(self, node: Node, what: str) -> list[str]:
        """The words of a command: a list, or text that is split as a shell splits it, with nothing replaced."""
        if isinstance(node, Sequence):
            return [self.text(item, what) for item in node.items]
        text = self.text(node, what)
        try:
            return shlex.split(text)
        except ValueError as exc:
            raise refuse(node.place, f"{what} cannot be divided into words: {exc}") from exc

    def pairs(self, node: Node, what: str) -> dict[str, tuple[str | None, Place]]:
        """A mapping of texts, or a list of NAME=value; a name alone has None."""
        if isinstance(node, Map):
            return {
                name: (self.optional(value, f"{what} {name}"), key.place)
                for name, (key, value) in node.entries.items()
            }
        found: dict[str, tuple[str | None, Place]] = {}
        for item in self.items(node, what):
            name, equals, value = self.text(item, what).partition("=")
            found[name] = (value if equals else None, item.place)
        return found

    def items(self, node: Node, what: str) -> list[Node]:
        if not isinstance(node, Sequence):
            raise refuse(node.place, f"{what} must be a list")
        return node.items

    def entries(self, node: Node, what: str) -> Iterator[tuple[str, Place, Node]]:
        """Name, place of the name, and value of each entry of a mapping whose keys are names."""
        if not isinstance(node, Map):
            raise refuse(node.place, f"{what} must be a mapping", "write it like name: value")
        for name, (key, value) in node.entries.items():
            yield name, key.place, value

    def fields(
        self, node: Node, what: str, known: Collection[str], refused: Mapping[str, str]
    ) -> dict[str, Node]:
        """The entries of a mapping whose keys have a meaning, without extensions and nulls."""
        found: dict[str, Node] = {}
        for name, place, value in self.entries(node, what):
            if name.startswith(_EXTENSION) and name not in known:
                continue
            if name in refused and not _is_empty(value):
                raise refuse(place, f"{name} is not supported in {what}", refused[name])
            if name not in known and name not in refused:
                raise refuse(place, f"unknown key {name!r} in {what}", _suggest(name, known))
            if name in known and not is_null(value):
                found[name] = value
        return found


def is_unicode(text: str) -> bool:
    """Whether the text has no half characters: of `\\ud800`, or of a variable that is not UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.is_null


def _is_empty(node: Node) -> bool:
    """Null, false, an empty list or an empty mapping: such a key asks for nothing."""
    if isinstance(node, Scalar):
        return node.is_null or node.text == "false"
    return not (node.items if isinstance(node, Sequence) else node.entries)


def _suggest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name[:60], sorted(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}"


def mapped(values: Mapping[str, Node], name: str, read: Callable[[Node, str], T]) -> T | None:
    """What `read` makes of the value of this name, if it is there."""
    node = values.get(name)
    return None if node is None else read(node, name)
