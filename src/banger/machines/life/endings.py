"""Why a machine ended, and whether that was a failure. What a guest's console says is only words."""

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
    """Of a machine whose VMM has ended."""
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
    """Of its main command, whether or not that is written down yet."""
    if live.machine.exit is not None or live.main is None or not live.main.done.done():
        return live.machine.exit
    return None if live.main.done.exception() is not None else live.main.done.result()


def _end_of_guest(live: LiveMachine) -> Ending | None:
    """What the VMM saw of it; a reset after a panic looks like any other. None: nothing."""
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
    """A command that failed, or a VMM that ended before its command did. What a guest does to itself on purpose is
    none."""
    match machine.ending:
        case Rebooted() | PoweredOff():
            return False
        case Panicked() | VmmKilled() | MemoryLimitReached():
            return True
    return machine.exit is not None and machine.exit.code != 0
