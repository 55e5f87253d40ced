"""Why a machine ended, and why it is paused: facts for programs. `machines.keep.reasons` puts them into words."""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from banger.model.command import Exit


class PauseCause(str, Enum):
    """Who or what paused a machine: a user, until the user resumes it; idleness, until its next use; the
    host's full disk, until it has space again."""

    USER = "user"
    IDLE = "idle"
    DISK_FULL = "disk_full"


class _Ending(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """`kind` tells endings from one another."""


class StoppedAsAsked(_Ending, frozen=True, tag="as_asked"):
    """A user stopped the machine."""


class CommandEnded(_Ending, frozen=True, tag="command"):
    """The main command ended, and the machine with it."""

    exit: Exit


class OutOfMemory(_Ending, frozen=True, tag="oom"):
    """The guest's kernel killed the main command for lack of memory."""

    exit: Exit


class Panicked(_Ending, frozen=True, tag="panic"):
    """The guest's kernel panicked. `message` is what it wrote about the panic."""

    message: str = ""


class Rebooted(_Ending, frozen=True, tag="reboot"):
    """The guest rebooted."""


class PoweredOff(_Ending, frozen=True, tag="poweroff"):
    """The guest powered off."""


class VmmKilled(_Ending, frozen=True, tag="vmm_killed"):
    """The VMM ended by itself or was killed. `by_signal` is true if it said that a signal from the host ended it."""

    by_signal: bool = False


class VmmEnded(_Ending, frozen=True, tag="vmm_ended"):
    """The VMM ended for a reason that banger has no kind for. `said` is the VMM's own word."""

    said: str


class MemoryLimitReached(_Ending, frozen=True, tag="memory_limit"):
    """The host's kernel killed the VMM, because it reached its memory limit. `limit_bytes` 0 means unknown."""

    limit_bytes: int = 0


class EndedUnseen(_Ending, frozen=True, tag="unseen"):
    """The VMM ended while no daemon ran."""


class HostRebooted(_Ending, frozen=True, tag="host_reboot"):
    """The host was rebooted while the machine ran."""


class StartInterrupted(_Ending, frozen=True, tag="start_interrupted"):
    """The daemon ended during the machine's start."""


class StartCancelled(_Ending, frozen=True, tag="start_cancelled"):
    """The start was cancelled."""


class StartFailed(_Ending, frozen=True, tag="start_failed"):
    """The start failed. `code` and `message` are those of the error; `code` is empty for a machine that failed under
    an earlier version."""

    code: str
    message: str


Ending: TypeAlias = (
    StoppedAsAsked
    | CommandEnded
    | OutOfMemory
    | Panicked
    | Rebooted
    | PoweredOff
    | VmmKilled
    | VmmEnded
    | MemoryLimitReached
    | EndedUnseen
    | HostRebooted
    | StartInterrupted
    | StartCancelled
    | StartFailed
)


def kind_of(ending: Ending) -> str:
    """The name of its kind, as programs read it."""
    return str(ending.__struct_config__.tag)
