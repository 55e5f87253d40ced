"""Back to how a machine was made: its disk goes, and the next start begins with a fresh one.

The record says so first. A daemon that is killed before the disk is gone leaves a machine whose next start removes it.
"""

from __future__ import annotations

import contextlib

from banger.errors import Error
from banger.host.thread import in_thread
from banger.machines.keep.events import tell_reset
from banger.machines.keep.states import LIVE, wrong_state
from banger.machines.life.lifecycle import kill
from banger.machines.life.lives import Lives
from banger.model.machine import Machine, MachineState
from banger.model.operation import Report
from banger.model.origin import ForkedFrom


async def reset(lives: Lives, machine: Machine, report: Report, *, force: bool) -> None:
    """Raises `bad_state` for a running machine without `force`, and for a fork: its beginning was another machine's
    memory and disk, which are not kept."""
    await lives.settle_overdue(machine)
    if force and machine.state in LIVE:
        report("stop", f"stopping {machine.name}")
        with contextlib.suppress(Error):  # the machine ended by itself
            await kill(lives, machine)
    async with lives.locks[machine.id]:
        if machine.state in LIVE:
            raise Error(
                "bad_state",
                f"machine {machine.name!r} is {machine.state.value}",
                f"banger vm stop {machine.name}, or banger vm reset --force {machine.name}",
                {"state": machine.state.value},
            )
        if machine.state is MachineState.DELETING or not lives.registry.has(machine):
            raise wrong_state(machine, "reset")
        if isinstance(machine.origin, ForkedFrom):
            raise Error(
                "bad_state",
                f"{machine.name} is a fork of {machine.origin.machine}, whose disk at that time is not kept",
                f"fork again: banger vm fork {machine.origin.machine}; a snapshot can be restored again and again",
            )
        driver = lives.holdings.driver(machine)
        if driver is None:
            return
        report("disk", f"removing the disk of {machine.name}")
        lives.registry.change(
            machine,
            lambda tell: tell_reset(tell, machine),
            wiped=True,
            agent_boot="",
            image_digest="",
            exit=None,
        )
        await in_thread(driver.disks.discard, lives.holdings.places(machine).directory)
