"""`volumes` of a service: SOURCE:TARGET[:ro], and the long form, of directories of this host and of named volumes."""

from __future__ import annotations

import os

from banger.compose.complaint import Place, refuse
from banger.compose.project import Facts
from banger.compose.reading import Reader
from banger.compose.tree import Mapping, Node

_FORM = "write it like ./site:/srv/site, ./site:/srv/site:ro or data:/var/lib/data"
_LONG = ("type", "source", "target", "read_only", "bind", "volume", "consistency")
_MEANT_ANYWAY = {"", "rw", "z", "Z", "cached", "delegated", "consistent"}
_NO_COPY = "nocopy"


def read_mount(reader: Reader, node: Node, directory: str) -> Facts:
    """A mount of the API, of a directory or of a volume; a directory is looked for from `directory`. Raises
    `compose_invalid`."""
    return (
        _read_long(reader, node, directory)
        if isinstance(node, Mapping)
        else _read_short(reader, node, directory)
    )


def _read_short(reader: Reader, node: Node, directory: str) -> Facts:
    text = reader.text(node, "a volume")
    source, *rest = text.split(":")
    if len(rest) not in (1, 2) or not source:
        raise refuse(node.place, f"{text!r} is not SOURCE:TARGET", _FORM)
    options = set(rest[1].split(",")) if len(rest) == 2 else set()
    if unknown := options - _MEANT_ANYWAY - {"ro", _NO_COPY}:
        raise refuse(node.place, f"unknown option {min(unknown)!r} of the volume {text!r}", _FORM)
    if source.startswith((".", "/", "~")):
        return _mount(node.place, directory, source, rest[0], "ro" in options)
    return _volume(node.place, source, rest[0], "ro" in options, _NO_COPY in options)


def _read_long(reader: Reader, node: Node, directory: str) -> Facts:
    fields = reader.fields(node, "a volume", _LONG, {})
    kind = reader.text(fields["type"], "type") if "type" in fields else "volume"
    if kind not in ("bind", "volume"):
        raise refuse(node.place, f"a volume of type {kind}", "use type: bind or type: volume")
    for name in ("source", "target"):
        if name not in fields:
            raise refuse(node.place, f"a volume without {name}", _FORM)
    source, target = (reader.text(fields[name], name) for name in ("source", "target"))
    read_only = "read_only" in fields and reader.flag(fields["read_only"], "read_only")
    if kind == "bind":
        return _mount(node.place, directory, source, target, read_only)
    more = reader.fields(fields["volume"], "volume", (_NO_COPY,), {}) if "volume" in fields else {}
    no_copy = _NO_COPY in more and reader.flag(more[_NO_COPY], _NO_COPY)
    return _volume(node.place, source, target, read_only, no_copy)


def _volume(place: Place, key: str, target: str, read_only: bool, no_copy: bool) -> Facts:
    """With the name in the file, for which `plan` puts the name of the volume."""
    if not target.startswith("/"):
        raise refuse(place, f"the target {target!r} is not an absolute path", _FORM)
    return {"volume": key, "target": target, "read_only": read_only, "no_copy": no_copy}


def _mount(place: Place, directory: str, source: str, target: str, read_only: bool) -> Facts:
    if not target.startswith("/"):
        raise refuse(place, f"the target {target!r} is not an absolute path", _FORM)
    found = os.path.abspath(os.path.join(directory, os.path.expanduser(source)))
    return {"source": found, "target": target, "read_only": read_only}
