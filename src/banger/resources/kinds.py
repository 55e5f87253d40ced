"""The list of all kinds of resources. A new kind is a file beside this one, and a line here."""

from __future__ import annotations

from banger.resources.control_group import ControlGroup
from banger.resources.directory import Directory, places_of_files, places_of_sockets
from banger.resources.kind import Kind
from banger.resources.vmm_process import VmmProcess

VMM = VmmProcess()
CGROUP = ControlGroup()
SOCKETS = Directory("sockets", is_runtime=True, places=places_of_sockets)
FILES = Directory("files", is_runtime=False, places=places_of_files)

KINDS: dict[str, Kind] = {kind.name: kind for kind in (VMM, CGROUP, FILES, SOCKETS)}
RUNTIME = frozenset(kind.name for kind in KINDS.values() if kind.is_runtime)
