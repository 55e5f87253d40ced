"""Control groups, one per VMM. Identity: the directory in each hierarchy, by controller."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from banger.host.cgroup import Group, group_prefix
from banger.host.delegation import delegation
from banger.host.paths import Paths
from banger.resources.kind import Found, Kind, Target
from banger.store.resources import Identity


class ControlGroup(Kind):
    name = "cgroup"
    is_runtime = True

    async def release(self, identity: Identity) -> None:
        """Kills all processes in the group."""
        await Group.of_identity(identity).remove()

    def describe(self, identity: Identity) -> str:
        return "control group " + ", ".join(map(str, Group.of_identity(identity).paths))

    def find(self, paths: Paths) -> Iterator[Found]:
        for base in set(delegation().bases.values()):
            for group in sorted(base.glob(f"{group_prefix(paths.state)}*")):
                yield Found(self, "cgroup", str(group), str(group), group)

    async def remove(self, target: Target) -> bool:
        assert isinstance(target, Path)
        await Group({"any": target}).remove()
        return not target.exists()
