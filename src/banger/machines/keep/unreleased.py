"""Resources that could not be released when they should have been, and still have records: find them and try again.

banger tries again when the daemon starts, at each `reconcile`, before a start of the machine and when it is deleted.
"""

from __future__ import annotations

import logging

from banger.errors import Error
from banger.machines.keep.registry import Registry
from banger.machines.life.lives import Lives
from banger.model.machine import Machine, MachineState
from banger.model.report import Unreleased
from banger.resources import kinds, teardown
from banger.store.resources import Resource, ResourceTable

log = logging.getLogger("banger.machines")

# The rest waits for the next time: each may take seconds.
_AT_ONCE = 100


def find_unreleased(lives: Lives) -> list[Unreleased]:
    held = lives.holdings.resources
    found = [*_overdue(lives), *_in_the_way_of_deletions(lives.registry, held)]
    return [_describe(lives.registry, held, resource) for resource in found]


async def release_unreleased(lives: Lives) -> list[Unreleased]:
    """Try again; return each resource, and whether it is released now. Resources of a machine that is being deleted are
    only listed: the deletion itself tries them again."""
    registry, held, found = lives.registry, lives.holdings.resources, []
    for resource in _overdue(lives)[:_AT_ONCE]:
        described = _describe(registry, held, resource)
        async with lives.locks[resource.machine]:
            machine = _machine_of(registry, resource)
            if machine is not None and not lives.is_at_rest(machine):
                continue
            errors = await teardown.release_each(held, [resource])
        described.released = not errors
        described.problem = errors[0].message if errors else ""
        found.append(described)
    waiting = _in_the_way_of_deletions(registry, held)
    return found + [_describe(registry, held, resource) for resource in waiting]


def _overdue(lives: Lives) -> list[Resource]:
    return [resource for resource in lives.holdings.resources.all() if _is_overdue(lives, resource)]


def _in_the_way_of_deletions(registry: Registry, held: ResourceTable) -> list[Resource]:
    machines = {m.id for m in registry.all() if m.state is MachineState.DELETING}
    return [r for r in held.all() if r.machine in machines and r.id in held.unreleased]


def _is_overdue(lives: Lives, resource: Resource) -> bool:
    """Whether a release failed, in this daemon or in an earlier one: then a machine at rest has a resource that only
    running machines have. A machine that is being deleted does not count: the deletion releases all."""
    machine = _machine_of(lives.registry, resource)
    if machine is None:
        return resource.id in lives.holdings.resources.unreleased
    if not lives.is_at_rest(machine) or lives.locks[machine.id].locked():
        return False
    return resource.id in lives.holdings.resources.unreleased or resource.kind in kinds.RUNTIME


def _machine_of(registry: Registry, resource: Resource) -> Machine | None:
    try:
        return registry.find(resource.machine)
    except Error:
        return None


def _describe(registry: Registry, held: ResourceTable, resource: Resource) -> Unreleased:
    machine, error = _machine_of(registry, resource), held.unreleased.get(resource.id)
    return Unreleased(
        owner=machine.name if machine is not None else resource.machine,
        kind=resource.kind,
        what=teardown.describe(resource),
        problem=error.message if error is not None else "an earlier daemon did not release it",
    )
