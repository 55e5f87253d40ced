"""What could not be released when it was to be, and is recorded still: found, and tried again.

It is tried again when the daemon starts, at each `reconcile`, before the start of its machine and with its deletion.
"""

from __future__ import annotations

import logging

from banger.errors import Error
from banger.machines.keep.states import LIVE
from banger.machines.parts import Parts
from banger.model.machine import Machine, MachineState
from banger.model.report import Unreleased
from banger.resources import kinds, teardown
from banger.store.resources import Resource

log = logging.getLogger("banger.machines")

# More is for the next time: each may take seconds.
_AT_ONCE = 100


def find_unreleased(parts: Parts) -> list[Unreleased]:
    return [_describe(parts, resource) for resource in [*_overdue(parts), *_in_the_way_of_deletions(parts)]]


async def release_unreleased(parts: Parts) -> list[Unreleased]:
    """Try again; what it was, and whether it is released now. What is in the way of a deletion is tried with that, and
    listed."""
    found = []
    for resource in _overdue(parts)[:_AT_ONCE]:
        described = _describe(parts, resource)
        async with parts.locks[resource.machine]:
            machine = _machine_of(parts, resource)
            if machine is not None and not _is_at_rest(parts, machine):
                continue
            errors = await teardown.release_each(parts.store.resources, [resource])
        described.released = not errors
        described.problem = errors[0].message if errors else ""
        found.append(described)
    return found + [_describe(parts, resource) for resource in _in_the_way_of_deletions(parts)]


async def require_released(parts: Parts, machine: Machine) -> None:
    """Before it starts: whatever an earlier life holds still, a VMM or a control group, stands in the way of the next.
    Raises `not_released`."""
    errors = await teardown.release(parts.store.resources, machine.id, kinds.RUNTIME)
    if errors:
        raise _in_the_way(machine, errors[0])


def _in_the_way(machine: Machine, error: Error) -> Error:
    message = f"{machine.name} cannot start before the remains of its last run are gone: {error.message}"
    return Error("not_released", message, error.hint)


def _overdue(parts: Parts) -> list[Resource]:
    return [resource for resource in parts.store.resources.all() if _is_overdue(parts, resource)]


def _in_the_way_of_deletions(parts: Parts) -> list[Resource]:
    machines = {m.id for m in parts.registry.all() if m.state is MachineState.DELETING}
    held = parts.store.resources
    return [r for r in held.all() if r.machine in machines and r.id in held.unreleased]


def _is_overdue(parts: Parts, resource: Resource) -> bool:
    """It was tried; or an earlier daemon did so, of a machine that has nothing while it is at rest. One that is being
    deleted is settled as a whole."""
    machine = _machine_of(parts, resource)
    if machine is None:
        return resource.id in parts.store.resources.unreleased
    if not _is_at_rest(parts, machine) or parts.locks[machine.id].locked():
        return False
    return resource.id in parts.store.resources.unreleased or resource.kind in kinds.RUNTIME


def _is_at_rest(parts: Parts, machine: Machine) -> bool:
    if machine.id in parts.live or machine.id in parts.starting:
        return False
    return machine.state not in LIVE and machine.state is not MachineState.DELETING


def _machine_of(parts: Parts, resource: Resource) -> Machine | None:
    try:
        return parts.registry.find(resource.machine)
    except Error:
        return None


def _describe(parts: Parts, resource: Resource) -> Unreleased:
    machine, error = _machine_of(parts, resource), parts.store.resources.unreleased.get(resource.id)
    return Unreleased(
        owner=machine.name if machine is not None else resource.machine,
        kind=resource.kind,
        what=teardown.describe(resource),
        problem=error.message if error is not None else "an earlier daemon did not release it",
    )
