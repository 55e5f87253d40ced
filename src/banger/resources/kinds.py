"""All kinds of resources, and what of them is on the host. A new kind is a file beside this one, and a line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from banger.host.paths import Paths
from banger.resources.control_group import ControlGroup
from banger.resources.directory import Directory, places_of_files, places_of_sockets
from banger.resources.kind import Found, Kind
from banger.resources.share_process import ShareProcess
from banger.resources.told import ToldProgram, Words
from banger.resources.vmm_process import VmmProcess

VMM = VmmProcess()
SHARE = ShareProcess()
CGROUP = ControlGroup()
SOCKETS = Directory("sockets", is_runtime=True, places=places_of_sockets)
TAP = ToldProgram("tap", Words("free", "list", "", "tap"), lambda paths: paths.keeper_socket)
PASSAGE = ToldProgram(
    "passage", Words("forget", "list", "machine", "passage"), lambda paths: paths.relay_socket
)
FILES = Directory("files", is_runtime=False, places=places_of_files)

KINDS: dict[str, Kind] = {kind.name: kind for kind in (VMM, SHARE, CGROUP, FILES, SOCKETS, TAP, PASSAGE)}
RUNTIME = frozenset(kind.name for kind in KINDS.values() if kind.is_runtime)


def look(paths: Paths) -> list[Found]:
    """Everything that should have a record, at some moment of the look. Blocking: looks at every process of the host,
    and waits for keeper and relay."""
    return [found for kind in KINDS.values() for found in kind.find(paths)]


def unknown(seen: Iterable[Found], identities: Iterable[Mapping[str, object]]) -> list[Found]:
    """The things to which none of the records leads."""
    known = {value for identity in identities for value in identity.values()}
    return [found for found in seen if found.key not in known]
