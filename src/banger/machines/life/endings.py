"""Why a machine ended, and whether that was a failure. The guest can forge its console, which decides only whether a
reset followed a panic."""

from __future__ import annotations

import signal

from banger.guests.console import find_panic
from banger.machines.life.live import LiveMachine
from banger.model.command import Exit
from banger.model.ending import (
    CommandEnded,
    Ending,
    MemoryLimitReached,
    OutOfMemory,
    Panicked,
    PoweredOff,
    Rebooted,
    StoppedAsAsked,
    VmmEnded,
    VmmKilled,
)
from banger.model.machine import Machine, MachineState
from banger.vmm.ending import EndKind


def find_ending(live: LiveMachine) -> Ending:
    """Why a machine ended whose VMM has ended."""
    machine = live.machine
    if machine.state is MachineState.STOPPING:
        if machine.wanted == "stopped":
            return StoppedAsAsked()
    elif said := _end_of_guest(live):
        return said
    exit_ = exit_of(live)
    if live.main is not None and exit_ is not None:
        was_killed = exit_.signal == signal.SIGKILL and live.was_oom_killed(live.main)
        return OutOfMemory(exit=exit_) if was_killed else CommandEnded(exit=exit_)
    return _end_of_guest(live) or VmmKilled()


def exit_of(live: LiveMachine) -> Exit | None:
    """The exit of the main command, even if it is not recorded yet; None if unknown."""
    if live.machine.exit is not None or live.main is None or not live.main.done.done():
        return live.machine.exit
    return None if live.main.done.exception() is not None else live.main.done.result()


def _end_of_guest(live: LiveMachine) -> Ending | None:
    """The end as the VMM saw it; None if it saw nothing. To the VMM a reset after a panic looks like any other
    reset."""
    kind, said = live.vm.end()
    if kind in (EndKind.RESET, EndKind.PANICKED):
        panic = find_panic(live.places.console_log, live.console_begin)
        return Panicked(message=panic) if panic or kind is EndKind.PANICKED else Rebooted()
    if kind is EndKind.OTHER:
        return VmmEnded(said=said)
    known: dict[EndKind, Ending] = {
        EndKind.POWERED_OFF: PoweredOff(),
        EndKind.SIGNALLED: VmmKilled(by_signal=True),
    }
    return known.get(kind)


def is_failure(machine: Machine) -> bool:
    """Whether a machine's end is a failure: the command failed, or the VMM ended before the command. What a guest does
    on purpose (reboot, power off) is no failure."""
    match machine.ending:
        case Rebooted() | PoweredOff():
            return False
        case Panicked() | VmmKilled() | MemoryLimitReached():
            return True
    return machine.exit is not None and machine.exit.code != 0
