"""What a VMM may take of its host: a control group of its own, from before it begins until after it has ended.

The group is the owner's resource, and is handed over with the VMM in it: it keeps its name.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from pathlib import Path

from banger.host import jail, vm_users
from banger.host.cgroup import Group, group_prefix, plan_group
from banger.host.delegation import delegation
from banger.host.thread import in_thread
from banger.model.machine import Confinement as JailOfVmm
from banger.model.sizes import format_size
from banger.resources import kinds, teardown
from banger.store.resources import Resource, ResourceTable
from banger.vmm.base import Driver, VmConfig, VmLimits
from banger.vmm.link import UserNat

log = logging.getLogger("banger.machines")


@dataclass
class Confinement:
    """`held` says what holds, `missing` why a controller does not; each by controller."""

    group: Group
    held: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def entrances(self) -> tuple[Path, ...]:
        return tuple(self.group.entrances())

    def limit(self, limits: VmLimits) -> None:
        """Set what there are controllers for."""
        group = self.group
        self._set("memory", lambda: group.limit_memory(limits.memory_bytes), format_size(limits.memory_bytes))
        self._set("cpu", lambda: group.limit_cpu(limits.cpus), f"{limits.cpus:g} processors")
        self._set("pids", lambda: group.limit_pids(limits.pids), f"{limits.pids} threads")

    def _set(self, controller: str, write: Callable[[], None], shown: str) -> None:
        if controller not in self.group.directories:
            return
        try:
            write()
        except OSError as exc:
            self.held.pop(controller, None)
            self.missing[controller] = f"the kernel refused {shown}: {exc.strerror}"
            log.warning("%s limit: %s", controller, self.missing[controller])
        else:
            self.held[controller] = f"cgroup v{self.group.version(controller)}, {shown}"
            self.missing.pop(controller, None)


async def confine(resources: ResourceTable, owner: str, config: VmConfig, driver: Driver) -> Confinement:
    """Make the group that the owner's VMM will start in, as far as this host lets us."""
    found = delegation()
    group = plan_group(found, group_prefix(config.places.directory.parents[1]) + owner)
    if not group.directories:
        return Confinement(group, missing=dict(found.missing))
    noted = resources.note(owner, kinds.CGROUP.name, group.identity)
    try:
        group.make()
    except OSError as exc:
        made = Resource(noted, owner, kinds.CGROUP.name, group.identity)
        await teardown.release_each(resources, [made])  # whatever of it there is; what stays keeps its record
        reason = f"cannot create a control group: {exc.strerror}"
        return Confinement(Group({}), missing=dict.fromkeys(group.directories, reason) | found.missing)
    confinement = Confinement(group, missing=dict(found.missing))
    confinement.limit(plan_limits(config, driver))
    return confinement


def choose_user(resources: ResourceTable, state: Path) -> int | None:
    """The number of the user that the next VMM runs as: one that no VMM of a record has. None unless we are root."""
    if os.geteuid() != 0:
        return None
    taken = {vmm.identity.get("user") for vmm in resources.of_kind(kinds.VMM.name)}
    return next((user for user in vm_users.part_of(state) if user not in taken), None)


def describe_jail(driver: Driver, config: VmConfig) -> JailOfVmm:
    """The jail that the driver's VMM is in."""
    if not driver.capabilities.jailed:
        return JailOfVmm(missing={"jail": f"the driver {driver.name} does not have one"})
    found = jail.look()
    layers, missing = set(found.held), dict(found.missing)
    if os.geteuid() == 0:
        layers.add("user")
    if isinstance(config.link, UserNat):
        layers.discard("net")
        missing["net"] = "user-mode networking uses the network of the host"
    return JailOfVmm(
        layers=tuple(name for name in (*jail.NAMESPACES, jail.LANDLOCK) if name in layers), missing=missing
    )


def note_group(resources: ResourceTable, owner: str, marker: str, state: Path) -> None:
    """Of a VMM that runs, and began as `marker`'s: the group that it is in, unless there is a record of it."""
    group = plan_group(delegation(), group_prefix(state) + marker)
    known = [r.identity for r in resources.of_machine(owner) if r.kind == kinds.CGROUP.name]
    if group.identity not in known and any(path.exists() for path in group.paths):
        resources.note(owner, kinds.CGROUP.name, group.identity)


async def remove_strays(resources: ResourceTable, state: Path) -> int:
    """Empty groups of this `state` directory that no record leads to, since the records were lost; how many there were.
    A group that is about to be made has its record already."""
    groups = [Group.of_identity(r.identity) for r in resources.all() if r.kind == kinds.CGROUP.name]
    known = {path for group in groups for path in group.paths}
    return await in_thread(_remove_groups, group_prefix(state), known)


def _remove_groups(prefix: str, known: Set[Path]) -> int:
    removed = 0
    for base in set(delegation().bases.values()):
        for path in base.glob(prefix + "*"):
            if path not in known:
                with contextlib.suppress(OSError):  # somebody is in it
                    path.rmdir()
                    removed += 1
    return removed


def plan_limits(config: VmConfig, driver: Driver) -> VmLimits:
    """What was asked for, else what such a VM needs."""
    asked, needed = config.limits, driver.needs(config)
    return VmLimits(
        memory_bytes=asked.memory_bytes or needed.memory_bytes,
        cpus=asked.cpus or needed.cpus,
        pids=asked.pids or needed.pids,
    )
