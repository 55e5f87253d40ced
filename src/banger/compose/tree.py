"""YAML as a tree in which each node knows its place.

The text of scalars stays what was written: what it means depends on the key that it belongs to, so `22:22` is no number
and `no` no truth value. A Compose file may come from a stranger: its size, its depth, and the size of the tree with all
aliases followed are limited, before anything is made of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import yaml

from banger.compose.complaint import Place, refuse

SIZE_MAX = 256 * 1024
_DEPTH_MAX = 32
_NODES_MAX = 20_000
_MERGE = "<<"
_NULLS = ("", "~", "null", "Null", "NULL")
_TAGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))


class Scalar:
    """Text. `is_null`: it was left out, or is one of YAML's words for nothing."""

    __slots__ = ("is_null", "place", "size", "text")

    def __init__(self, place: Place, text: str, is_null: bool = False) -> None:
        self.place = place
        self.text = text
        self.is_null = is_null
        self.size: int = 1


class Sequence:
    __slots__ = ("items", "place", "size")

    def __init__(self, place: Place, items: list[Node]) -> None:
        self.place = place
        self.items = items
        self.size: int = 1 + sum(item.size for item in items)


class Mapping:
    """Keys are unique, in the order of the file; what `<<` merges comes last."""

    __slots__ = ("entries", "place", "size")

    def __init__(self, place: Place, entries: dict[str, tuple[Scalar, Node]]) -> None:
        self.place = place
        self.entries = entries
        self.size: int = 1 + sum(1 + value.size for _, value in entries.values())


Node: TypeAlias = Scalar | Sequence | Mapping


def read_tree(path: str, data: bytes) -> Node:
    """The one document of a file. Raises `compose_invalid`."""
    if len(data) > SIZE_MAX:
        raise refuse(Place(path), f"the file is larger than {SIZE_MAX // 1024} KiB", "divide the project")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        before = data[: exc.start]
        column = exc.start - (before.rfind(b"\n") + 1) + 1
        raise refuse(Place(path, before.count(b"\n") + 1, column), "this is not UTF-8") from exc
    try:
        return _Builder(path, yaml.parse(text, Loader=yaml.SafeLoader)).document()
    except yaml.YAMLError as exc:
        raise _not_yaml(path, text, exc) from exc


def _not_yaml(path: str, text: str, exc: Any) -> Exception:
    mark, problem = getattr(exc, "problem_mark", None), getattr(exc, "problem", None)
    if mark is not None:
        hint = "use spaces for indentation" if "\\t" in str(problem) else ""
        return refuse(Place(path, mark.line + 1, mark.column + 1), f"this is not YAML: {problem}", hint)
    at = getattr(exc, "position", 0)  # of a character that YAML does not allow
    before = text[: at if isinstance(at, int) else 0]
    column = len(before) - (before.rfind("\n") + 1) + 1
    return refuse(Place(path, before.count("\n") + 1, column), "a character that YAML does not allow")


class _Builder:
    """Makes the tree from the parser's events. Not recursive in the parser; the depth here is limited."""

    def __init__(self, path: str, events: Iterator[Any]) -> None:
        self._path = path
        self._events = events
        self._anchors: dict[str, Node | None] = {}  # None: the node is not complete
        self._nodes = 0

    def document(self) -> Node:
        root: Node = Mapping(Place(self._path, 1, 1), {})
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise refuse(self._place(event), "a second document", "put one project into one file")
                root = self._node(next(self._events), 0)
        return root

    def _place(self, event: Any) -> Place:
        return Place(self._path, event.start_mark.line + 1, event.start_mark.column + 1)

    def _node(self, event: Any, depth: int) -> Node:
        place = self._place(event)
        if depth > _DEPTH_MAX:
            raise refuse(place, f"nested deeper than {_DEPTH_MAX} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(place, event.anchor)
        if event.tag not in (None, "!", *_TAGS):
            raise refuse(place, f"the tag {event.tag} is not supported", "leave out the tag")
        if event.anchor:
            self._anchors[event.anchor] = None
        node = self._inner(event, place, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        self._count(place, 1)
        return node

    def _inner(self, event: Any, place: Place, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            plain = bool(event.implicit[0])
            return Scalar(place, event.value, plain and event.value in _NULLS)
        if isinstance(event, yaml.SequenceStartEvent):
            return Sequence(place, [*self._items(depth)])
        return self._mapping(place, depth)

    def _alias(self, place: Place, anchor: str) -> Node:
        if anchor not in self._anchors:
            raise refuse(place, f"no anchor &{anchor} before this alias")
        node = self._anchors[anchor]
        if node is None:
            raise refuse(place, f"the alias *{anchor} is inside of what it stands for")
        self._count(place, node.size)
        return node

    def _count(self, place: Place, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > _NODES_MAX:
            raise refuse(
                place, f"more than {_NODES_MAX} nodes, with all aliases followed", "use fewer aliases"
            )

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _mapping(self, place: Place, depth: int) -> Mapping:
        entries: dict[str, tuple[Scalar, Node]] = {}
        merged: list[Mapping] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                raise refuse(key.place, "a key that is not text", "write it like name: value")
            value = self._node(next(self._events), depth + 1)
            if not key.text.isprintable():
                raise refuse(key.place, "a key with characters that cannot be shown")
            if key.text == _MERGE:
                merged += _maps_of(value)
            elif key.text in entries:
                first = entries[key.text][0].place.line
                raise refuse(key.place, f"the key {key.text!r} is here twice (first in line {first})")
            else:
                entries[key.text] = (key, value)
        for other in merged:
            for name, entry in other.entries.items():
                entries.setdefault(name, entry)
        return Mapping(place, entries)


def _maps_of(value: Node) -> list[Mapping]:
    several = value.items if isinstance(value, Sequence) else [value]
    for one in several:
        if not isinstance(one, Mapping):
            raise refuse(one.place, "<< merges only mappings", "write it like <<: *anchor")
    return [one for one in several if isinstance(one, Mapping)]
