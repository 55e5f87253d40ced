"""Commands of a running machine, by their numbers: find, signal, resize, wait."""

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
    """The commands that run, and the commands that ended lately."""
    return [running.info for running in (await _with_commands(lives, machine)).execs.values()]


async def show_command(lives: Lives, machine: Machine, exec_id: int) -> Exec:
    """Raises `exec_not_found`."""
    return find_command(await _with_commands(lives, machine), exec_id).info


async def wait_command(lives: Lives, machine: Machine, exec_id: int) -> Exit:
    """Returns when the command has ended. Raises `exec_not_found`, and `agent_lost` if its exit cannot be known."""
    running = find_command(await _with_commands(lives, machine), exec_id)
    return await running.ended()


async def signal_command(lives: Lives, machine: Machine, number: int, exec_id: int | None = None) -> None:
    """Send a signal to the command's process only; without `exec_id` to the main command. Wakes an idle machine. Raises
    `bad_state` for a machine that a user paused, `exec_not_found`."""
    async with steady(lives, machine) as live:
        await find_command(live, exec_id).process.signal(number)


async def resize_command(lives: Lives, machine: Machine, running: RunningExec, rows: int, cols: int) -> None:
    """Set the size of the command's terminal. A paused machine gets the size when it continues; that is no error."""
    running.note_size(rows, cols)
    if _stands_still(machine):
        return
    async with steady(lives, machine):
        await running.fit()


async def hang_up(lives: Lives, machine: Machine, running: RunningExec, number: int) -> None:
    """Send a signal to all processes of the command's session, as when a terminal is closed. A paused machine gets the
    signal when it continues. Errors are ignored, because the client is gone."""
    running.note_hang_up(number)
    if _stands_still(machine):
        return
    with contextlib.suppress(Error):
        async with steady(lives, machine):
            await running.hang_up()


def _stands_still(machine: Machine) -> bool:
    """Whether the machine is paused and will not wake for a request: an idle machine does wake."""
    return machine.pause_cause not in (None, PauseCause.IDLE)


def find_command(live: LiveMachine, exec_id: int | None) -> RunningExec:
    """The command; None means the main command. Raises `bad_state`, `exec_not_found`."""
    name = live.machine.name
    found = live.main if exec_id is None else live.execs.get(exec_id)
    if found is not None:
        return found
    if exec_id is None:
        raise Error("bad_state", f"machine {name!r} has no main command", f"banger vm exec -it {name}")
    raise Error("exec_not_found", f"machine {name!r} has no command {exec_id}", f"banger vm execs {name}")


async def _with_commands(lives: Lives, machine: Machine) -> LiveMachine:
    """The machine with its list of commands. Asks (and wakes) the guest only if this daemon has not read the list
    yet."""
    live = lives.of(machine)
    await live.adopted.wait()
    if live.connection is None:
        async with awake(lives, machine):
            pass
    return live
