"""Why a machine ended or is paused, in words for people: made here only. No code reads the words; code reads the facts
that the words are made from."""

from __future__ import annotations

import msgspec

from banger.model.command import Exit
from banger.model.ending import (
    CommandEnded,
    EndedUnseen,
    Ending,
    HostRebooted,
    MemoryLimitReached,
    OutOfMemory,
    Panicked,
    PauseCause,
    PoweredOff,
    Rebooted,
    StartCancelled,
    StartFailed,
    StartInterrupted,
    StoppedAsAsked,
    VmmEnded,
    VmmKilled,
)
from banger.model.machine import Machine
from banger.model.sizes import format_size

_PAUSES = {
    PauseCause.USER: "",
    PauseCause.IDLE: "it was not used",
    PauseCause.DISK_FULL: "the host's disk is full",
}


def with_reason(machine: Machine) -> Machine:
    """The machine, with words that agree with its facts."""
    return msgspec.structs.replace(
        machine,
        reason=describe(machine),
        idle=machine.pause_cause is PauseCause.IDLE,
        disk_full=machine.pause_cause is PauseCause.DISK_FULL,
    )


def describe(machine: Machine) -> str:
    """The reason; empty if there is nothing to explain."""
    if machine.pause_cause is not None:
        return _PAUSES[machine.pause_cause]
    if machine.ending is None:
        return ""
    return describe_ending(machine.ending) + _describe_restart(machine.restart_in_s)


def describe_ending(ending: Ending) -> str:
    match ending:
        case CommandEnded(exit=exit_):
            return _describe_exit(exit_)
        case OutOfMemory(exit=exit_):
            return f"{_describe_exit(exit_)}: OOM-killed in the guest"
        case Panicked(message=message):
            return "the guest's kernel panicked" + (f": {message}" if message else "")
        case MemoryLimitReached(limit_bytes=limit_bytes):
            limit = f" of {format_size(limit_bytes)}" if limit_bytes else ""
            return f"the host's kernel killed the VMM: it reached its memory limit{limit}"
        case VmmKilled(by_signal=by_signal):
            return "the VMM was ended by a signal" if by_signal else "the VMM ended unexpectedly"
        case VmmEnded(said=said):
            return f"the VMM said {said}"
        case StartFailed(message=message):
            return message
        case StoppedAsAsked():
            return "stopped as asked"
        case Rebooted():
            return "the guest rebooted"
        case PoweredOff():
            return "the guest powered off"
        case EndedUnseen():
            return "the VMM had ended while no daemon ran"
        case HostRebooted():
            return "the host was rebooted"
        case StartInterrupted():
            return "the daemon ended during the machine's start"
        case StartCancelled():
            return "the start was cancelled"


def _describe_exit(exit_: Exit) -> str:
    return f"its command ended with {exit_.code}"


def _describe_restart(restart_in_s: float | None) -> str:
    if restart_in_s is None:
        return ""
    return f"; starts again in {restart_in_s:g} s" if restart_in_s else "; starts again"
