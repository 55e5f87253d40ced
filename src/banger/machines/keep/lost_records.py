"""What the host still has, but a damaged store, or an older store that a user put back, no longer knows. Nothing is
ended or removed here: banger reports it, and `banger system reconcile` lists it from then on.
"""

from __future__ import annotations

import contextlib
import logging
import re
from pathlib import Path
from typing import NamedTuple

from banger.guests.confinement import note_group
from banger.host import cpu, vm_users
from banger.host.fs import inode_of
from banger.host.proc import ProcessRef, all_marked, is_alive, user_of
from banger.host.spawn import MARKER
from banger.host.thread import in_thread
from banger.machines.keep.holdings import Holdings
from banger.machines.keep.registry import Registry
from banger.model.machine import Machine
from banger.resources import kinds
from banger.resources.vmm_process import places_of, process_of
from banger.store.resources import Identity, Resource
from banger.store.store import Store

log = logging.getLogger("banger.adopt")

# The owners that are not machines (templates in the making, waiting clones) have a word and a dash before their number.
_MACHINE = re.compile(r"[0-9a-f]{12}")


def is_machine(owner: str) -> bool:
    """Whether the owner is a machine. If such a machine has no record, the record was lost."""
    return _MACHINE.fullmatch(owner) is not None


def leave_alone(store: Store, owner: str) -> None:
    """Forget the resources of a machine whose record is lost: its VM continues, its files stay."""
    resources = store.resources.of_machine(owner)
    held = ", ".join(filter(None, map(_describe, resources)))
    store.damage.note(f"the record of machine {owner} is lost; banger leaves as it is: {held or 'nothing'}")
    for resource in resources:
        store.resources.clear(resource.id)


def _describe(resource: Resource) -> str:
    if resource.kind != kinds.VMM.name:
        return str(resource.identity.get("path", ""))
    process = process_of(resource.identity)
    return f"process {process.pid}" if process is not None and is_alive(process) else ""


class FoundVmm(NamedTuple):
    process: ProcessRef
    marker: str


async def find_vmms(registry: Registry, holdings: Holdings) -> dict[str, FoundVmm]:
    """The running VMMs, by the ids of their machines. A VMM is recognised by the directory that it works in or writes
    to, because the store may be damaged or older than the VMM."""
    places = {machine.id: holdings.places(machine).directory for machine in registry.all()}
    return await in_thread(_find_in, places)


def _find_in(places: dict[str, Path]) -> dict[str, FoundVmm]:
    """The VMMs of this user that run in these directories. Blocking: reads every process of the host."""
    marked = all_marked(MARKER)
    running = {place: FoundVmm(process, marker) for process, marker in marked for place in places_of(process)}
    found = {}
    for machine, directory in places.items():
        with contextlib.suppress(OSError):
            if vmm := running.get(inode_of(directory)):
                found[machine] = vmm
    return found


def note_again(holdings: Holdings, machine: Machine, vmm: FoundVmm) -> None:
    """Record a VMM that the store does not know."""
    noted = [r for r in holdings.resources.of_machine(machine.id) if r.kind == kinds.VMM.name]
    if vmm.process in [process_of(r.identity) for r in noted]:
        return
    log.warning("machine=%s the record of process %d was lost", machine.name, vmm.process.pid)
    holdings.take_places(machine)
    identity: Identity = {"marker": vmm.marker, "boot": cpu.boot_id()}
    identity |= {"pid": vmm.process.pid, "start": vmm.process.start}
    user = user_of(vmm.process)
    if user is not None and user in vm_users.part_of(holdings.paths.state):
        identity["user"] = user
    holdings.resources.note(machine.id, kinds.VMM.name, identity)
    note_group(holdings.resources, machine.id, vmm.marker, holdings.paths.state)
