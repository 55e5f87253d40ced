"""Compare the store with the host: find machines with wrong records, and banger's files and processes without records.

Wrong records are corrected. Leftovers are listed, and removed only on request: a directory without a record may be all
that is left of a machine whose record was lost.
"""

from __future__ import annotations

from banger.errors import Error
from banger.host.thread import in_thread
from banger.machines.keep.holdings import Holdings
from banger.machines.keep.lost_records import find_vmms
from banger.machines.keep.states import LIVE
from banger.machines.keep.unreleased import find_unreleased, release_unreleased
from banger.machines.life.adopt import reattach, settle
from banger.machines.life.lives import Lives
from banger.model.machine import Machine, MachineState
from banger.model.report import Leftover, Reconciliation, SettledMachine
from banger.resources.kind import Found
from banger.resources.kinds import look, unknown


async def reconcile(lives: Lives, *, dry_run: bool, remove: bool) -> Reconciliation:
    """With `dry_run` nothing is changed; with `remove` leftovers are removed."""
    wrong = [machine for machine in lives.registry.all() if _is_wrong(lives, machine)]
    machines = [await _set_right(lives, machine, dry_run) for machine in wrong]
    unreleased = find_unreleased(lives) if dry_run else await release_unreleased(lives)
    leftovers = await find_leftovers(lives.holdings)
    if remove and not dry_run:
        for leftover, found in leftovers:
            await _remove(leftover, found)
    return Reconciliation(
        machines=machines,
        leftovers=[leftover for leftover, _ in leftovers],
        dry_run=dry_run,
        unreleased=unreleased,
    )


def _is_wrong(lives: Lives, machine: Machine) -> bool:
    """Whether the record says that the machine is live or being deleted, but no task of the daemon looks after it."""
    return not lives.looks_after(machine) and (
        machine.state in LIVE or machine.state is MachineState.DELETING
    )


async def _set_right(lives: Lives, machine: Machine, dry_run: bool) -> SettledMachine:
    was = machine.state.value
    if not dry_run:
        vmms = await find_vmms(lives.registry, lives.holdings)
        reattach(lives, machine, vmms.get(machine.id))
        await settle(lives, machine)
    would_be = "deleted" if machine.state is MachineState.DELETING else "stopped"
    found = machine.state.value if lives.registry.has(machine) else "deleted"
    return SettledMachine(
        name=machine.name, was=was, now=would_be if dry_run else found, reason=machine.reason
    )


async def find_leftovers(holdings: Holdings) -> list[tuple[Leftover, Found]]:
    """Each record counts that was there at any moment of the look at the host, which takes as long as keeper and relay
    need to answer: meanwhile things are made, and released again."""
    with holdings.resources.followed() as known:
        seen = await in_thread(look, holdings.paths)
    return [(Leftover(kind=found.noun, what=found.what), found) for found in unknown(seen, known)]


async def _remove(leftover: Leftover, found: Found) -> None:
    try:
        leftover.removed = await found.kind.remove(found.target)
    except (Error, OSError) as exc:
        leftover.problem = str(exc)
