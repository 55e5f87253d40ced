"""Why a machine ended, in words, and whether that was a failure. What a guest's console says is only words, too."""

from __future__ import annotations

import signal

from banger.guests.console import find_panic
from banger.machines.life.limits import KILLED_FOR_MEMORY
from banger.machines.life.live import LiveMachine
from banger.model.command import Exit
from banger.model.machine import Machine, MachineState
from banger.vmm.ending import EndKind

AS_ASKED = "stopped as asked"
PANICKED = "the guest's kernel panicked"
REBOOTED = "the guest rebooted"
POWERED_OFF = "the guest powered off"
SIGNALLED = "the VMM was ended by a signal"
UNEXPECTED = "the VMM ended unexpectedly"
OOM_KILLED = "OOM-killed in the guest"
# What programs call them.
CODES = {
    PANICKED: "panic",
    REBOOTED: "reboot",
    POWERED_OFF: "poweroff",
    SIGNALLED: "vmm_killed",
    UNEXPECTED: "vmm_killed",
    OOM_KILLED: "oom",
    KILLED_FOR_MEMORY: "memory_limit",
}
_FAILURES = (PANICKED, SIGNALLED, UNEXPECTED, KILLED_FOR_MEMORY)


def describe_end(live: LiveMachine) -> str:
    """Of a machine whose VMM has ended."""
    machine = live.machine
    if machine.state is MachineState.STOPPING:
        if machine.wanted == "stopped":
            return AS_ASKED
    elif said := _end_of_guest(live):
        return said
    exit_ = exit_of(live)
    if live.main is not None and exit_ is not None:
        ended = f"its command ended with {exit_.code}"
        was_killed = exit_.signal == signal.SIGKILL and live.was_oom_killed(live.main)
        return f"{ended}: {OOM_KILLED}" if was_killed else ended
    return _end_of_guest(live) or UNEXPECTED


def exit_of(live: LiveMachine) -> Exit | None:
    """Of its main command, whether or not that is written down yet."""
    if live.machine.exit is not None or live.main is None or not live.main.done.done():
        return live.machine.exit
    return None if live.main.done.exception() is not None else live.main.done.result()


def _end_of_guest(live: LiveMachine) -> str:
    """What the VMM saw of it; a reset after a panic looks like any other. Empty: nothing."""
    kind, said = live.vm.end()
    if kind in (EndKind.RESET, EndKind.PANICKED):
        panic = find_panic(live.places.console_log, live.console_begin)
        if panic or kind is EndKind.PANICKED:
            return f"{PANICKED}: {panic}" if panic else PANICKED
        return REBOOTED
    known = {EndKind.UNKNOWN: "", EndKind.POWERED_OFF: POWERED_OFF, EndKind.SIGNALLED: SIGNALLED}
    return known.get(kind, f"the VMM said {said}")


def is_failure(machine: Machine) -> bool:
    """A command that failed, or a VMM that ended before its command did. What a guest does to itself on purpose is
    none."""
    if machine.reason in (REBOOTED, POWERED_OFF):
        return False
    if machine.reason.startswith(_FAILURES):
        return True
    return machine.exit is not None and machine.exit.code != 0


def code_of(reason: str) -> str:
    """Empty for a reason that no program is likely to ask for."""
    return next((code for words, code in CODES.items() if words in reason), "")
