"""Things on the host that belong to this home, and those among them to which no record leads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from banger.host.paths import Paths
from banger.resources.kind import Found
from banger.resources.kinds import KINDS


def look(paths: Paths) -> list[Found]:
    """Everything that should have a record. Call this before you read the records: a resource that is acquired
    meanwhile has its record first. Blocking: looks at every process of the host."""
    return [found for kind in KINDS.values() for found in kind.find(paths)]


def unknown(seen: Iterable[Found], identities: Iterable[Mapping[str, object]]) -> list[Found]:
    """The things to which none of the records leads."""
    known = {value for identity in identities for value in identity.values()}
    return [found for found in seen if found.key not in known]
