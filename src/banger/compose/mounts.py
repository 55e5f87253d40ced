"""`volumes` of a service, as far as they name directories of this host: SOURCE:TARGET[:ro], and the long form with
`type: bind`."""

from __future__ import annotations

import os

from banger.compose import refused
from banger.compose.complaint import Place, refuse
from banger.compose.project import Facts
from banger.compose.reading import Reader
from banger.compose.tree import Mapping, Node

_FORM = "write it like ./site:/srv/site or ./site:/srv/site:ro"
_LONG = ("type", "source", "target", "read_only", "bind", "consistency")
_MEANT_ANYWAY = {"", "rw", "z", "Z", "cached", "delegated", "consistent"}


def read_mount(reader: Reader, node: Node, directory: str) -> Facts:
    """A mount of the API; a source is looked for from `directory`. Raises `compose_invalid`."""
    return (
        _read_long(reader, node, directory)
        if isinstance(node, Mapping)
        else _read_short(reader, node, directory)
    )


def _read_short(reader: Reader, node: Node, directory: str) -> Facts:
    text = reader.text(node, "a volume")
    source, *rest = text.split(":")
    if len(rest) not in (1, 2) or not (source.startswith((".", "/", "~"))):
        raise refuse(
            node.place, f"{text!r} is not a directory of this host", f"{refused.NO_VOLUMES}; {_FORM}"
        )
    options = set(rest[1].split(",")) if len(rest) == 2 else set()
    if unknown := options - _MEANT_ANYWAY - {"ro"}:
        raise refuse(node.place, f"unknown option {min(unknown)!r} of the volume {text!r}", _FORM)
    return _mount(node.place, directory, source, rest[0], "ro" in options)


def _read_long(reader: Reader, node: Node, directory: str) -> Facts:
    fields = reader.fields(node, "a volume", _LONG, {})
    kind = reader.text(fields["type"], "type") if "type" in fields else "volume"
    if kind != "bind":
        raise refuse(node.place, f"a volume of type {kind}", refused.NO_VOLUMES)
    for name in ("source", "target"):
        if name not in fields:
            raise refuse(node.place, f"a volume without {name}", _FORM)
    source, target = (reader.text(fields[name], name) for name in ("source", "target"))
    read_only = "read_only" in fields and reader.flag(fields["read_only"], "read_only")
    return _mount(node.place, directory, source, target, read_only)


def _mount(place: Place, directory: str, source: str, target: str, read_only: bool) -> Facts:
    if not target.startswith("/"):
        raise refuse(place, f"the target {target!r} is not an absolute path", _FORM)
    found = os.path.abspath(os.path.join(directory, os.path.expanduser(source)))
    return {"source": found, "target": target, "read_only": read_only}
