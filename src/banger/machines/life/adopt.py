"""After a start of the daemon: take over the machines that still run, be truthful about the others.

VMMs outlive the daemon. Each machine is taken over in a task of its own, so that a sick one delays nobody.
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
    """Settle every machine that was live, or on its way out, when the last daemon ended; `running` are those whose VMM
    is there. Before anything is waited for here, all are shown as they are."""
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
    """What goes wrong with one machine is a fault that is logged, and keeps no other from being taken over."""
    try:
        yield
    except Error as exc:
        log.warning("machine=%s %s", machine.name, exc.message)
    except Exception:
        log.exception("machine=%s is not taken over: a fault of the daemon", machine.name)


def _show_that_it_goes(registry: Registry, machine: Machine) -> None:
    """Before anybody can ask for it: a machine at rest that is to be removed is not one that somebody has."""
    if machine.state in LIVE or machine.state is MachineState.DELETING:
        return
    try:
        registry.move(machine, "delete")
    except Error as exc:  # then it is shown when it is removed
        log.warning("machine=%s %s", machine.name, exc.message)


def _believe_it_runs(registry: Registry, machine: Machine) -> bool:
    """Its record says otherwise: the store is an older one, put back. It is not ended for that. False: it cannot be
    written down, so it is left alone."""
    log.warning("machine=%s runs, and was %s in the store", machine.name, machine.state.value)
    try:
        registry.move(machine, "found", has_started=True)
    except Error as exc:
        log.warning("machine=%s %s", machine.name, exc.message)
        return False
    return True


async def _settle_unknown(lives: Lives, machine: Machine) -> None:
    """One that lacks the command that it was started for was cut off in its start, which the store does not know."""
    await settle(lives, machine)
    live = lives.get(machine)
    lacks_main = machine.spec.command is not None and machine.spec.command.argv
    if live is not None and live.connection is not None and live.main is None and lacks_main:
        end_without_main(lives, live)


async def release_ownerless(store: Store, registry: Registry, state: Path) -> None:
    """What an earlier daemon had begun for nobody yet: templates that were being made, clones in waiting."""
    owners = {resource.machine for resource in store.resources.all()}
    for owner in owners - {machine.id for machine in registry.all()}:
        if is_machine(owner):
            leave_alone(store, owner)
        else:
            await teardown.release(store.resources, owner)
    await remove_strays(store.resources, state)


def reattach(lives: Lives, machine: Machine, vmm: FoundVmm | None) -> None:
    """Make it live again at once, if its VMM is: the agent may take its time. One that was on its way up or down when
    the last daemon ended is not gone on with, but ended by its records."""
    if vmm is None:
        return
    _note_found(lives.registry, lives.holdings, machine, vmm)
    if _is_half_started(machine) or machine.state not in (MachineState.RUNNING, MachineState.PAUSED):
        return
    try:
        driver = lives.holdings.drivers.named(machine.driver)
    except Error as exc:  # of a newer banger: it is ended by its records
        log.warning("machine=%s %s", machine.name, exc.message)
        return
    places = lives.holdings.places(machine)
    live = LiveMachine(machine, Reattached(places, driver, driver.reattach(places, vmm.process)))
    lives.take_over(live)
    watch_vmm(lives, live)


def _note_found(registry: Registry, holdings: Holdings, machine: Machine, vmm: FoundVmm) -> None:
    """A machine that runs is not ended because something of it cannot be written down."""
    try:
        note_again(holdings, machine, vmm)
        registry.change(machine, pid=vmm.process.pid)
    except Error as exc:
        log.warning("machine=%s %s", machine.name, exc.message)


async def settle(lives: Lives, machine: Machine) -> None:
    """Connect to one that runs; write down the end of one that does not."""
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
    """It was being deleted, or had ended and was to be removed then, or was made by a run that had not started it, or
    was to be a copy: one among others that are not there yet, or one that would start as somebody else."""
    if machine.state is MachineState.DELETING or machine.unfinished:
        return True
    if machine.state in LIVE or not machine.spec.remove:
        return False
    return machine.state is not MachineState.CREATED or machine.wanted == "running"


def _is_half_started(machine: Machine) -> bool:
    """Its guest is up, but whoever started it was not told so, and its command may never have begun."""
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
    """Control connection and agent session again; one that hangs does not keep the other from coming up."""
    await lives.holdings.tidy_disk(live.machine)
    control = asyncio.create_task(_connect_control(live), name=f"control {live.machine.name}")
    await asyncio.gather(control, _connect_agent(lives, live, control))
    watch_idleness(lives.registry, live)
    tell_adopted(lives.tell, live.machine)


async def _connect_control(live: LiveMachine) -> bool:
    """Whether it says that the vCPUs stand still."""
    try:
        await live.vm.connect_control(ANSWER_S)
        await _set_vcpus_right(live)
        return await live.vm.run_state() == "disk_full"
    except Error as exc:
        log.warning("machine=%s %s", live.machine.name, exc.message)
        return False


async def _connect_agent(lives: Lives, live: LiveMachine, control: asyncio.Task[bool]) -> None:
    """A machine whose vCPUs stand still has its session later."""
    await asyncio.wait([control], timeout=_CONTROL_FIRST_S)
    stands_still = control.done() and control.result()
    if live.machine.state is MachineState.RUNNING and not stands_still:
        await resync(lives, live)
        live.adopted.set()  # what runs in it is known; only pausing it needs the other


async def _set_vcpus_right(live: LiveMachine) -> None:
    """They do what the record says: the last daemon may have ended in a freeze, or before it wrote down a pause."""
    found = await live.vm.run_state()
    if live.machine.state is MachineState.RUNNING and found == "paused":
        await live.vm.resume()
    elif live.machine.state is MachineState.PAUSED and found == "running":
        await live.vm.pause()
