"""Another name for a machine: its record first, and then what else has its name.

Its snapshots follow. On named networks others find it by the new name at once, and not by the old one. Its own host
name is that of its start.
"""

from __future__ import annotations

import logging

import msgspec

from banger.errors import Error
from banger.machines.copies.snapshots import SnapshotLibrary
from banger.machines.keep.events import tell_renamed
from banger.machines.keep.states import wrong_state
from banger.machines.life.lives import Lives
from banger.machines.life.neighbours import refuse_crowd
from banger.model.machine import Machine, MachineState
from banger.model.names import check_name

log = logging.getLogger("banger.machines")


async def give_name(lives: Lives, snapshots: SnapshotLibrary, machine: Machine, name: str) -> None:
    """Raises `bad_name`, `name_taken` also for snapshots that a deleted machine of that name left, `bad_state`,
    `network_full`."""
    check_name(name)
    async with lives.locks[machine.id]:
        was = machine.name
        if name == was:
            return
        if machine.unfinished or machine.state is MachineState.DELETING or not lives.registry.has(machine):
            raise wrong_state(machine, "rename")
        if left := await snapshots.list(name):
            raise Error(
                "name_taken",
                f"there are snapshots of an earlier machine {name}: {' '.join(each.tag for each in left)}",
                f"choose another name, or delete them: banger snapshot delete {name} TAG",
            )
        refuse_crowd(lives.registry, msgspec.structs.replace(machine, name=name))
        lives.registry.give_name(machine, name, lambda tell: tell_renamed(tell, machine, name))
    try:
        await snapshots.follow(machine.id, was, name)
    except OSError as exc:
        log.warning("machine=%s snapshots are still under the name %s: %s", name, was, exc)
