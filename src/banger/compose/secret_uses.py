"""`secrets` of a service: what it does with each."""

from __future__ import annotations

import re

from banger.compose.complaint import refuse
from banger.compose.project import Facts, UsedSecret
from banger.compose.reading import Reader
from banger.compose.tree import Mapping, Node

_USE = ("source", "target", "uid", "gid", "mode")
_MODE = re.compile(r"0?[0-7]{3}")
_NUMBER_MAX = 0xFFFFFFFE


def read_use(reader: Reader, node: Node) -> UsedSecret:
    """What a service does with a secret: its name, or the long form. Raises `compose_invalid`."""
    if not isinstance(node, Mapping):
        key = reader.text(node, "a secret")
        return UsedSecret(key, node.place, {"target": key})
    fields = reader.fields(node, "a secret", _USE, {})
    if "source" not in fields:
        raise refuse(node.place, "a secret without source", "write it like {source: db_password}")
    key = reader.text(fields["source"], "source")
    use: Facts = {"target": reader.text(fields["target"], "target") if "target" in fields else key}
    for name in ("uid", "gid"):
        if name in fields:
            use[name] = reader.whole(fields[name], name, 0, _NUMBER_MAX)
    if "mode" in fields:
        mode = reader.text(fields["mode"], "mode")
        if not _MODE.fullmatch(mode):
            raise refuse(fields["mode"].place, f"{mode!r} is not a mode", "write it in octal, like 0400")
        use["mode"] = int(mode, 8)
    return UsedSecret(key, node.place, use)
