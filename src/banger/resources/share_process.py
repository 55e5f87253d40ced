"""Processes that serve directories of the host to a guest.

Their identity and end are those of a VMM's process. A server to which no record leads is found as a VMM's process would
be: both have the same kind of marker.
"""

from __future__ import annotations

from collections.abc import Iterator

from banger.host.paths import Paths
from banger.resources.kind import Found
from banger.resources.vmm_process import VmmProcess
from banger.store.resources import Identity


class ShareProcess(VmmProcess):
    name = "share"

    def describe(self, identity: Identity) -> str:
        return f"{super().describe(identity)}, which serves directories"

    def find(self, paths: Paths) -> Iterator[Found]:
        return iter(())
