"""Start machines again: when they ended without a request, and when the daemon comes back.

| policy | it ended by itself | with a failure | its user stopped it | the daemon comes back, it does not run |
|---|---|---|---|---|
| `no` | | | | |
| `on-failure[:N]` | | again, at most N times in a row | | |
| `always` | again | again | | again |
| `unless-stopped` | again | again | | again, unless its user stopped it |

A failure is an exit code other than 0, a VMM that ended unexpectedly, a kernel that panicked, or a start that failed.
The pause between two starts in a row doubles each time, up to one minute. A start that was due when the daemon ended
takes place when the daemon comes back.

If a guest reboots, the machine is started again under every policy, and the reboot is no failure; but a machine with
`remove` has ended. The first reboot in a row is followed by a start at once, the next ones by such pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import datetime

from banger.errors import Error
from banger.host import cpu
from banger.host.times import now
from banger.machines.keep.events import tell_restart
from banger.machines.keep.operations import Operations
from banger.machines.keep.states import LIVE
from banger.machines.life.lifecycle import start
from banger.machines.life.lives import Lives
from banger.machines.life.makings import Makings
from banger.model.ending import EndedUnseen, Rebooted
from banger.model.machine import Machine, MachineState
from banger.model.operation import Report

log = logging.getLogger("banger.restarts")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
# A machine that ran this long has not ended "in a row".
SETTLED_S = 10.0
_AT_REST = (MachineState.STOPPED, MachineState.FAILED)


def plan_pause_s(restarts: int) -> float:
    """Seconds before the start that follows `restarts` others in a row. Pure."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * (1 << min(restarts, 16)))


def plan_reboot_pause_s(reboots: int) -> float:
    """Seconds before the start that follows `reboots` others in a row. Pure."""
    return plan_pause_s(reboots - 1) if reboots else 0.0


def wants_reboot(machine: Machine) -> bool:
    """Whether the machine ended because its guest rebooted and so starts again, whatever its policy. Pure."""
    return isinstance(machine.ending, Rebooted) and not machine.spec.remove and machine.wanted != "stopped"


def wants_restart(machine: Machine, *, failed: bool, restarts: int) -> bool:
    """Whether a machine that ended just now starts again, after `restarts` in a row. Pure."""
    policy, _, limit = machine.spec.restart.partition(":")
    if machine.wanted == "stopped" or policy == "no":
        return False
    if policy == "on-failure":
        return failed and (not limit or restarts < int(limit))
    return True


def wants_return(machine: Machine) -> bool:
    """Whether a machine that does not run when the daemon starts is started. Pure."""
    if machine.state not in _AT_REST:
        return False
    policy = machine.spec.restart
    return policy == "always" or (policy == "unless-stopped" and machine.wanted == "running")


def is_due(machine: Machine) -> bool:
    """Whether the last daemon was about to start the machine. Pure."""
    return machine.state in _AT_REST and machine.restart_in_s is not None


def ended_unseen(machine: Machine) -> bool:
    """Whether a machine that should run when the daemon starts ended by itself meanwhile. Pure."""
    return (
        machine.state in _AT_REST and machine.wanted == "running" and isinstance(machine.ending, EndedUnseen)
    )


class Restarts:
    """Lives as long as the daemon; used from its event loop."""

    def __init__(self, lives: Lives, makings: Makings, operations: Operations) -> None:
        self._lives = lives
        self._makings = makings
        self._operations = operations
        self._turns = asyncio.Semaphore(cpu.count())
        lives.on_end.append(self.consider)

    def consider(self, machine: Machine, failed: bool) -> None:
        """Decide whether a machine that has ended and is settled starts again."""
        in_a_row = _ran_s(machine) < SETTLED_S
        restarts, reboots = (machine.restarts, machine.reboots) if in_a_row else (0, 0)
        if wants_reboot(machine):
            self._begin_in(machine, plan_reboot_pause_s(reboots), restarts, reboots + 1)
        elif wants_restart(machine, failed=failed, restarts=restarts):
            self._begin_in(machine, plan_pause_s(restarts), restarts + 1, reboots)

    def _begin_in(self, machine: Machine, pause_s: float, restarts: int, reboots: int) -> None:
        try:
            self._lives.registry.change(
                machine,
                lambda tell: tell_restart(tell, machine, pause_s, restarts),
                restarts=restarts,
                reboots=reboots,
                restart_in_s=pause_s,
            )
        except Error as exc:  # the machine starts again in any case
            log.warning("machine=%s %s", machine.name, exc.message)
        self._lives.due.put(machine, pause_s, self._begin)

    def bring_back(self) -> None:
        """Start machines after the daemon's start, when all running machines have been taken over."""
        for machine in self._lives.registry.all():
            if wants_return(machine) or is_due(machine):
                self._begin(machine)
            elif ended_unseen(machine):
                self.consider(machine, failed=True)

    def _begin(self, machine: Machine) -> None:
        lives = self._lives
        if not lives.registry.has(machine) or machine.state in LIVE or machine.id in lives.starting:
            return

        async def work(report: Report) -> str:
            async with self._turns:
                await start(lives, self._makings, machine, report)
            return machine.name

        try:
            running = self._operations.begin("restart", f"machine/{machine.name}", work, unasked=True)
        except Error as exc:  # no space for its record at the moment
            log.warning("machine=%s does not start again yet: %s", machine.name, exc.message)
            self._lives.due.put(machine, LONGEST_PAUSE_S, self._begin)
            return
        assert running.task is not None
        running.task.add_done_callback(lambda _: self._after(machine))

    def _after(self, machine: Machine) -> None:
        """A failed start counts as one more failure."""
        if machine.state is MachineState.FAILED and self._lives.registry.has(machine):
            log.warning("machine=%s did not start again: %s", machine.name, machine.reason)
            self.consider(machine, failed=True)


def _ran_s(machine: Machine) -> float:
    with contextlib.suppress(ValueError):
        begun = datetime.fromisoformat(machine.started)
        ended = datetime.fromisoformat(machine.stopped or now())
        return (ended - begun).total_seconds()
    return 0.0
