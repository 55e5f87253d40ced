"""Commands of a running machine, by their number: found, signalled, resized, waited for."""

from __future__ import annotations

import contextlib

from banger.errors import Error
from banger.machines.ask.execs import RunningExec
from banger.machines.ask.pausing import awake, steady
from banger.machines.life.live import LiveMachine
from banger.machines.life.lives import Lives
from banger.model.command import Exec, Exit
from banger.model.ending import PauseCause
from banger.model.machine import Machine


async def list_commands(lives: Lives, machine: Machine) -> list[Exec]:
    """Those that run, and those that ended lately."""
    return [running.info for running in (await _with_commands(lives, machine)).execs.values()]


async def show_command(lives: Lives, machine: Machine, exec_id: int) -> Exec:
    """Raises `exec_not_found`."""
    return find_command(await _with_commands(lives, machine), exec_id).info


async def wait_command(lives: Lives, machine: Machine, exec_id: int) -> Exit:
    """Returns when it has ended. Raises `exec_not_found`, and `agent_lost` if its end cannot be known."""
    running = find_command(await _with_commands(lives, machine), exec_id)
    return await running.ended()


async def signal_command(lives: Lives, machine: Machine, number: int, exec_id: int | None = None) -> None:
    """To the process alone; without `exec_id` to the main command. A machine that is idle is woken for it, one that is
    paused never hears of it. Raises `bad_state`, `exec_not_found`."""
    async with steady(lives, machine) as live:
        await find_command(live, exec_id).process.signal(number)


async def resize_command(lives: Lives, machine: Machine, running: RunningExec, rows: int, cols: int) -> None:
    """A machine that stands still hears of it when it goes on: that is no failure."""
    running.note_size(rows, cols)
    if _stands_still(machine):
        return
    async with steady(lives, machine):
        await running.fit()


async def hang_up(lives: Lives, machine: Machine, running: RunningExec, number: int) -> None:
    """To all that it started in its session, as when a terminal is closed. A machine that stands still hears of it when
    it goes on. Nobody is there to hear of a failure."""
    running.note_hang_up(number)
    if _stands_still(machine):
        return
    with contextlib.suppress(Error):
        async with steady(lives, machine):
            await running.hang_up()


def _stands_still(machine: Machine) -> bool:
    """Until somebody says otherwise: one that is idle wakes for whoever wants something."""
    return machine.pause_cause not in (None, PauseCause.IDLE)


def find_command(live: LiveMachine, exec_id: int | None) -> RunningExec:
    """None: the main command. Raises `bad_state`, `exec_not_found`."""
    name = live.machine.name
    found = live.main if exec_id is None else live.execs.get(exec_id)
    if found is not None:
        return found
    if exec_id is None:
        raise Error("bad_state", f"machine {name!r} has no main command", f"banger vm exec -it {name}")
    raise Error("exec_not_found", f"machine {name!r} has no command {exec_id}", f"banger vm execs {name}")


async def _with_commands(lives: Lives, machine: Machine) -> LiveMachine:
    """The machine is asked for its commands only where this daemon has never heard of them."""
    live = lives.of(machine)
    await live.adopted.wait()
    if live.connection is None:
        async with awake(lives, machine):
            pass
    return live
