"""Things on the host in our name, and those among them that no record leads to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from banger.host.paths import Paths
from banger.resources.kind import Found
from banger.resources.kinds import KINDS


def look(paths: Paths) -> list[Found]:
    """Whatever should have a record. Look before you read the records: what is made meanwhile has its record first.
    Blocking: at every process of the host."""
    return [found for kind in KINDS.values() for found in kind.find(paths)]


def unknown(seen: Iterable[Found], identities: Iterable[Mapping[str, object]]) -> list[Found]:
    """Those that none of the records leads to."""
    known = {value for identity in identities for value in identity.values()}
    return [found for found in seen if found.key not in known]
