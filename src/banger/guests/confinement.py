"""The limits of a VMM on its host: a control group for each VMM, made before the VMM starts, removed after it has
ended.

The group is a resource of its owner. When the owner hands over the VMM, it hands over the group too; the group keeps
its name.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from pathlib import Path

from banger.errors import Error
from banger.host import jail, vm_users
from banger.host.cgroup import Group, group_prefix, plan_group
from banger.host.delegation import delegation
from banger.host.thread import in_thread
from banger.model.machine import Confinement as JailOfVmm
from banger.model.sizes import format_size
from banger.resources import kinds, teardown
from banger.store.resources import Resource, ResourceTable
from banger.vmm.base import Driver, VmConfig, VmLimits
from banger.vmm.link import Link, UserNat

log = logging.getLogger("banger.machines")


_CONTROLLERS = frozenset(("memory", "cpu", "pids"))


@dataclass
class Confinement:
    """`held`: how each controller is enforced; `missing`: why a controller is not. Both by the name of the
    controller."""

    group: Group
    held: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def entrances(self) -> tuple[Path, ...]:
        return tuple(self.group.entrances())

    def limit(self, limits: VmLimits, only: Set[str] = _CONTROLLERS) -> None:
        """Set the limits for which the group has controllers, `only` those of these controllers."""
        group = self.group
        steps = {
            "memory": (lambda: group.limit_memory(limits.memory_bytes), format_size(limits.memory_bytes)),
            "cpu": (lambda: group.limit_cpu(limits.cpus), f"{limits.cpus:g} processors"),
            "pids": (lambda: group.limit_pids(limits.pids), f"{limits.pids} threads"),
        }
        for controller, (write, shown) in steps.items():
            if controller in only:
                self._set(controller, write, shown)

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
    """Make the group that the owner's VMM will start in, with the controllers that this host offers."""
    found = delegation()
    group = plan_group(found, group_prefix(config.places.directory.parents[1]) + owner)
    if not group.directories:
        return Confinement(group, missing=dict(found.missing))
    noted = resources.note(owner, kinds.CGROUP.name, group.identity)
    try:
        group.make()
    except OSError as exc:
        made = Resource(noted, owner, kinds.CGROUP.name, group.identity)
        await teardown.release_each(resources, [made])  # what cannot be released keeps its record
        reason = f"cannot create a control group: {exc.strerror}"
        return Confinement(Group({}), missing=dict.fromkeys(group.directories, reason) | found.missing)
    confinement = Confinement(group, missing=dict(found.missing))
    confinement.limit(plan_limits(config, driver))
    return confinement


def choose_user(resources: ResourceTable, state: Path) -> int | None:
    """Choose a user number for the next VMM that no recorded VMM has. None unless the daemon runs as root. Raises
    `jail_failed` if there are more VMMs than numbers: two VMMs never share a number."""
    if os.geteuid() != 0:
        return None
    taken = {vmm.identity.get("user") for vmm in resources.of_kind(kinds.VMM.name)}
    for user in vm_users.part_of(state):
        if user not in taken:
            return user
    raise Error("jail_failed", "each user number for VMMs is in use", "stop machines that are not needed")


def missing_layers(driver: Driver, link: Link) -> dict[str, str]:
    """The layers of the jail that a VMM of this driver with this link cannot have on this host, each with the
    reason."""
    if not driver.capabilities.jailed:
        return {"jail": f"the driver {driver.name} does not have one"}
    missing = {**jail.look().missing, **driver.capabilities.jail_without}
    if isinstance(link, UserNat):
        missing["net"] = "user-mode networking uses the network of the host"
    return missing


def describe_jail(driver: Driver, config: VmConfig) -> JailOfVmm:
    """The layers of the jail that a VMM of this driver gets, and why others are missing."""
    missing = missing_layers(driver, config.link)
    if not driver.capabilities.jailed:
        return JailOfVmm(missing=missing)
    layers = set(jail.look().held) - missing.keys()
    if os.geteuid() == 0:
        layers.add("user")
    own = filter(None, [driver.capabilities.own_jail])
    return JailOfVmm(layers=(*(name for name in jail.LAYERS if name in layers), *own), missing=missing)


def note_group(resources: ResourceTable, owner: str, marker: str, state: Path) -> None:
    """Record the control group of a VMM that runs already, unless there is a record. `marker` is the marker that the
    VMM started with."""
    group = plan_group(delegation(), group_prefix(state) + marker)
    known = [r.identity for r in resources.of_machine(owner) if r.kind == kinds.CGROUP.name]
    if group.identity not in known and any(path.exists() for path in group.paths):
        resources.note(owner, kinds.CGROUP.name, group.identity)


async def remove_strays(resources: ResourceTable, state: Path) -> int:
    """Remove empty groups of this `state` directory that have no record (the store lost it); return their number. A
    group that is about to be made has its record already."""
    groups = [Group.of_identity(r.identity) for r in resources.all() if r.kind == kinds.CGROUP.name]
    known = {path for group in groups for path in group.paths}
    return await in_thread(_remove_groups, group_prefix(state), known)


def _remove_groups(prefix: str, known: Set[Path]) -> int:
    removed = 0
    for base in set(delegation().bases.values()):
        for path in base.glob(prefix + "*"):
            if path not in known:
                with contextlib.suppress(OSError):  # a process is in the group
                    path.rmdir()
                    removed += 1
    return removed


def plan_limits(config: VmConfig, driver: Driver) -> VmLimits:
    """The limits that the user asked for; where the user asked for none, what such a VM needs."""
    asked, needed = config.limits, driver.needs(config)
    return VmLimits(
        memory_bytes=asked.memory_bytes or needed.memory_bytes,
        cpus=asked.cpus or needed.cpus,
        pids=asked.pids or needed.pids,
    )
