"""Stopped vCPUs: a user's pause lasts until the user resumes the machine; a pause for idleness until the next
request."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from banger.errors import Error
from banger.machines.keep.registry import Registry
from banger.machines.keep.states import advance
from banger.machines.life.live import LiveMachine
from banger.machines.life.lives import Lives
from banger.machines.life.sessions import catch_up, reconnect
from banger.machines.watch.idle import stand_still
from banger.model.ending import PauseCause
from banger.model.machine import Machine, MachineState


async def pause(lives: Lives, machine: Machine) -> None:
    """Pause for the user. If the machine is paused already, because it is idle or the disk is full, from now on only
    the user resumes it. Raises `bad_state`."""
    live = lives.of(machine)
    await live.adopted.wait()
    async with live.pausing:
        if machine.pause_cause in (PauseCause.IDLE, PauseCause.DISK_FULL):
            lives.registry.change(machine, pause_cause=PauseCause.USER)
            live.on_sleep()
        else:
            advance(machine, "pause")
            await stand_still(lives.registry, live, PauseCause.USER)
        live.disk_full = False


async def resume(lives: Lives, machine: Machine) -> None:
    """Resume for the user. Raises `bad_state`."""
    live = lives.of(machine)
    await live.adopted.wait()
    async with live.pausing:
        advance(machine, "resume")
        await go_on(lives, live)
    if not live.users and live.idle_pause is not None:
        live.idle_pause.unused()


async def wake_to_stop(lives: Lives, machine: Machine) -> None:
    """Let a machine continue that was paused when this daemon started, or when its VMM ended its session: without a
    session its command cannot be asked to end."""
    live = lives.get(machine)
    if live is None:
        return
    await live.adopted.wait()
    async with live.pausing:
        waits = live.connection is None and (live.lost is None or live.parted is not None)
        if machine.state is MachineState.PAUSED and waits:
            with contextlib.suppress(Error):
                await go_on(lives, live)


@contextlib.asynccontextmanager
async def awake(lives: Lives, machine: Machine) -> AsyncIterator[LiveMachine]:
    """The running machine, in use until the end of the block; wakes an idle machine. Raises `bad_state`."""
    live = lives.of(machine)
    with live.in_use():
        await live.adopted.wait()
        await _wake(lives, live)
        await _stay_for_session(live)
        await reconnect(lives, live)
        yield live


@contextlib.asynccontextmanager
async def steady(lives: Lives, machine: Machine) -> AsyncIterator[LiveMachine]:
    """As `awake`, for a short request: no task stops the vCPUs within the block, so the guest hears a message now or
    never. Raises `bad_state`."""
    async with awake(lives, machine) as live, live.pausing:
        _refuse_paused(live)
        yield live


async def _wake(lives: Lives, live: LiveMachine) -> None:
    machine = live.machine
    if machine.state is not MachineState.PAUSED:
        return
    async with live.pausing:
        if machine.pause_cause is PauseCause.IDLE:
            await go_on(lives, live)
    _refuse_paused(live)


async def _stay_for_session(live: LiveMachine) -> None:
    """While a VMM writes down a machine whose session it ends by that, wait for the next session."""
    if live.parted is not None:
        async with live.pausing:
            pass


def _refuse_paused(live: LiveMachine) -> None:
    machine = live.machine
    if live.disk_full or machine.pause_cause is PauseCause.DISK_FULL:
        raise Error(
            "insufficient_disk",
            f"machine {machine.name!r} is halted: the host's disk is full",
            f"free space in {live.places.directory}; the machine then continues by itself",
        )
    if machine.state is MachineState.PAUSED:
        raise Error(
            "bad_state",
            f"machine {machine.name!r} is paused",
            f"banger vm resume {machine.name}",
            {"state": machine.state.value},
        )


async def go_on(lives: Lives, live: LiveMachine) -> None:
    """Let a paused machine continue; the caller holds its `pausing` lock."""
    await live.vm.resume()
    try:
        await catch_up(lives, live)
    finally:  # only now, so that waiting tasks find a session
        await _note_going(lives.registry, live)


async def _note_going(registry: Registry, live: LiveMachine) -> None:
    """Write down that the machine runs; if that fails, pause it again, so that the record is true."""
    live.disk_full = False
    if live.machine.state is MachineState.RUNNING:  # the pause could not be written down either
        return
    slept = live.machine.pause_cause is PauseCause.IDLE
    try:
        registry.move(live.machine, "resume")
        if slept:
            live.on_sleep()
    except Error:
        with contextlib.suppress(Error):
            await live.vm.pause()
        raise
