"""After a start of the daemon: take over the machines that still run, and correct the records of the others.

VMMs outlive the daemon. Each machine is taken over in a task of its own, so that a machine that hangs does not delay
others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from banger.errors import Error
from banger.guests.confinement import remove_strays
from banger.machines.keep.events import tell_adopted
from banger.machines.keep.holdings import Holdings
from banger.machines.keep.lost_records import FoundVmm, is_machine, leave_alone, note_again
from banger.machines.keep.registry import Registry
from banger.machines.keep.states import LIVE
from banger.machines.life.lifecycle import end_without_main, watch_vmm
from banger.machines.life.limits import find_memory_kill
from banger.machines.life.live import LiveMachine, Reattached
from banger.machines.life.lives import Lives
from banger.machines.life.sessions import ANSWER_S, resync
from banger.machines.life.shares import keep_sharing
from banger.machines.watch.idle import watch_idleness
from banger.model.ending import EndedUnseen, Ending, HostRebooted, StartInterrupted, StoppedAsAsked
from banger.model.machine import Machine, MachineState
from banger.resources import kinds, teardown
from banger.resources.vmm_process import is_of_earlier_boot
from banger.store.resources import ResourceTable
from banger.store.store import Store

log = logging.getLogger("banger.adopt")

_CONTROL_FIRST_S = 1.0


async def adopt_all(lives: Lives, running: Mapping[str, FoundVmm]) -> None:
    """Settle each machine that was live, or about to be removed, when the last daemon ended; `running`: the machines
    whose VMM runs. Before the first wait here, all machines show their true state."""
    unsettled, unknown = [], []
    for machine in lives.registry.all():
        if machine.state in LIVE or _is_to_go(machine):
            unsettled.append(machine)
        elif machine.id in running and machine.driver:
            unknown.append(machine)
    for machine in unsettled:
        _show_that_it_goes(lives.registry, machine)
    unknown = [machine for machine in unknown if _believe_it_runs(lives.registry, machine)]
    for machine in (*unsettled, *unknown):
        with _alone(machine):
            reattach(lives, machine, running.get(machine.id))
    settling = [settle(lives, machine) for machine in unsettled]
    await asyncio.gather(*settling, *(_settle_unknown(lives, machine) for machine in unknown))


@contextlib.contextmanager
def _alone(machine: Machine) -> Iterator[None]:
    """A failure with one machine is logged, and does not prevent that others are taken over."""
    try:
        yield
    except Error as exc:
        log.warning("machine=%s %s", machine.name, exc.message)
    except Exception:
        log.exception("machine=%s is not taken over: a fault of the daemon", machine.name)


def _show_that_it_goes(registry: Registry, machine: Machine) -> None:
    """Show a machine that will be removed as DELETING before the first request comes, so that no client believes it is
    kept."""
    if machine.state in LIVE or machine.state is MachineState.DELETING:
        return
    try:
        registry.move(machine, "delete")
    except Error as exc:  # its removal will show it
        log.warning("machine=%s %s", machine.name, exc.message)


def _believe_it_runs(registry: Registry, machine: Machine) -> bool:
    """Mark a machine as running although its record says otherwise: a user put back an older store. The machine is not
    ended for that. False if that cannot be written down; then the machine is left alone."""
    log.warning("machine=%s runs, and was %s in the store", machine.name, machine.state.value)
    try:
        registry.move(machine, "found", has_started=True)
    except Error as exc:
        log.warning("machine=%s %s", machine.name, exc.message)
        return False
    return True


async def _settle_unknown(lives: Lives, machine: Machine) -> None:
    """Connect to the machine. If it lacks its main command, its start was interrupted, which the older store does not
    know: then end the machine."""
    await settle(lives, machine)
    live = lives.get(machine)
    lacks_main = machine.spec.command is not None and machine.spec.command.argv
    if live is not None and live.connection is not None and live.main is None and lacks_main:
        end_without_main(lives, live)


async def release_ownerless(store: Store, registry: Registry, state: Path) -> None:
    """Release what an earlier daemon made that has no machine yet: templates in the making, waiting clones."""
    owners = {resource.machine for resource in store.resources.all()}
    for owner in owners - {machine.id for machine in registry.all()}:
        if is_machine(owner):
            leave_alone(store, owner)
        else:
            await teardown.release(store.resources, owner)
    await remove_strays(store.resources, state)


def reattach(lives: Lives, machine: Machine, vmm: FoundVmm | None) -> None:
    """Make a machine live again at once if its VMM runs, without waiting for the agent. A machine that was being
    started or stopped when the last daemon ended does not continue; `settle` ends it by its records."""
    if vmm is None:
        return
    _note_found(lives.registry, lives.holdings, machine, vmm)
    if _is_half_started(machine) or machine.state not in (MachineState.RUNNING, MachineState.PAUSED):
        return
    try:
        driver = lives.holdings.drivers.named(machine.driver)
    except Error as exc:  # a newer banger's driver: `settle` ends the machine
        log.warning("machine=%s %s", machine.name, exc.message)
        return
    places = lives.holdings.places(machine)
    live = LiveMachine(machine, Reattached(places, driver, driver.reattach(places, vmm.process)))
    lives.take_over(live)
    keep_sharing(lives.holdings.resources, live)
    watch_vmm(lives, live)


def _note_found(registry: Registry, holdings: Holdings, machine: Machine, vmm: FoundVmm) -> None:
    """A failed write is only logged: the machine runs, and is not ended for that."""
    try:
        note_again(holdings, machine, vmm)
        registry.change(machine, pid=vmm.process.pid)
    except Error as exc:
        log.warning("machine=%s %s", machine.name, exc.message)


async def settle(lives: Lives, machine: Machine) -> None:
    """Connect to a machine that runs; write down the end of a machine that does not."""
    live = lives.get(machine)
    try:
        with _alone(machine):
            if live is not None:
                await _reconnect(lives, live)
            else:
                ending = _why_it_ended(lives.holdings.resources, machine)
                async with lives.locks[machine.id]:
                    await lives.settle_or_owe(machine, lambda: _record_end(lives, machine, ending))
    finally:
        if live is not None:
            live.adopted.set()


async def _record_end(lives: Lives, machine: Machine, ending: Ending) -> None:
    goes = _is_to_go(machine) or machine.spec.remove
    await lives.holdings.release_runtime(machine)
    await lives.holdings.tidy_disk(machine)
    if machine.state in LIVE:
        lives.registry.move(machine, "exited", ending)
    if goes:
        await lives.remove(machine)


def _is_to_go(machine: Machine) -> bool:
    """Whether the machine must be removed: it was being deleted; or it had ended and has `remove`; or a run made it and
    had not started it; or it is an unfinished copy, which would lack its siblings or start with a wrong identity."""
    if machine.state is MachineState.DELETING or machine.unfinished:
        return True
    if machine.state in LIVE or not machine.spec.remove:
        return False
    return machine.state is not MachineState.CREATED or machine.wanted == "running"


def _is_half_started(machine: Machine) -> bool:
    """Whether the guest is up, but the caller of the start was not told so; the main command may not have begun."""
    return machine.state in LIVE and (machine.unfinished or not machine.has_started)


def _why_it_ended(held: ResourceTable, machine: Machine) -> Ending:
    identities = [r.identity for r in held.of_machine(machine.id) if r.kind == kinds.VMM.name]
    if any(map(is_of_earlier_boot, identities)):
        return HostRebooted()
    if machine.state is MachineState.STARTING or _is_half_started(machine):
        return StartInterrupted()
    if machine.state is MachineState.STOPPING:
        return StoppedAsAsked()
    return find_memory_kill(held, machine) or EndedUnseen()


async def _reconnect(lives: Lives, live: LiveMachine) -> None:
    """Connect to control socket and agent; if one of them hangs, the other is still connected."""
    await lives.holdings.tidy_disk(live.machine)
    control = asyncio.create_task(_connect_control(live), name=f"control {live.machine.name}")
    await asyncio.gather(control, _connect_agent(lives, live, control))
    watch_idleness(lives.registry, live)
    tell_adopted(lives.tell, live.machine)


async def _connect_control(live: LiveMachine) -> bool:
    """Connect; returns whether the vCPUs are stopped because the disk is full."""
    try:
        await live.vm.connect_control(ANSWER_S)
        await _set_vcpus_right(live)
        return await live.vm.run_state() == "disk_full"
    except Error as exc:
        log.warning("machine=%s %s", live.machine.name, exc.message)
        return False


async def _connect_agent(lives: Lives, live: LiveMachine, control: asyncio.Task[bool]) -> None:
    """Begin a session, unless the vCPUs are stopped: then the session begins when they continue."""
    await asyncio.wait([control], timeout=_CONTROL_FIRST_S)
    stands_still = control.done() and control.result()
    if live.machine.state is MachineState.RUNNING and not stands_still:
        await resync(lives, live)
        live.adopted.set()  # its commands are known; only pausing needs the control connection


async def _set_vcpus_right(live: LiveMachine) -> None:
    """Make the vCPUs agree with the record: the last daemon may have ended during a freeze, or before it recorded a
    pause. A user may pause the machine meanwhile: its commands are known before this is done."""
    async with live.pausing:
        found = await live.vm.run_state()
        if live.machine.state is MachineState.RUNNING and found == "paused":
            await live.vm.resume()
        elif live.machine.state is MachineState.PAUSED and found == "running":
            await live.vm.pause()
