"""The checks that users gave their machines: a command in the guest, again and again while the machine runs.

Each machine has a task of its own, and each check an end, so a sick guest delays no other. A check is no use of the
machine: an idle machine is still paused, and a paused machine is not checked. The record has the result, so the next
daemon continues with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import datetime

from banger.agent.process import GuestProcess, start_process
from banger.errors import Error
from banger.host.background import keep_going
from banger.machines.keep.events import tell_health
from banger.machines.keep.registry import Registry
from banger.machines.life.live import EXEC_LABEL, LiveMachine
from banger.machines.life.lives import Lives
from banger.machines.life.main_command import plan_exec
from banger.model.command import Command
from banger.model.healthcheck import HealthCheck, HealthState
from banger.model.machine import MachineState
from banger.wire.fields import readable

_LABEL = EXEC_LABEL + "healthcheck"
# The agent ends a check in time; this much later the host stops waiting for the agent.
_MARGIN_S = 5.0
_SAID_BYTES = 1024
_SAID_MAX = 200


class Healthchecks:
    """Lives as long as the daemon."""

    def __init__(self, lives: Lives) -> None:
        self._registry = lives.registry
        self._going: dict[str, asyncio.Task[None]] = {}
        lives.on_begin.append(self.watch)

    def watch(self, live: LiveMachine) -> None:
        check, machine = live.machine.spec.healthcheck, live.machine
        if check is None:
            return
        self._forget(machine.id)
        going = keep_going(lambda: _Watch(self._registry, live, check).go(), f"healthcheck of {machine.name}")
        self._going[machine.id] = going
        going.add_done_callback(
            lambda done: self._going.pop(machine.id) if self._going.get(machine.id) is done else None
        )

    def close(self) -> None:
        for machine in tuple(self._going):
            self._forget(machine)

    def _forget(self, machine: str) -> None:
        if (going := self._going.pop(machine, None)) is not None:
            going.cancel()


class _Watch:
    """The checks of one machine, from when it is live until its VMM ends."""

    def __init__(self, registry: Registry, live: LiveMachine, check: HealthCheck) -> None:
        self._registry = registry
        self._live = live
        self._check = check
        self._failures = 0
        self._counts_from = time.monotonic() - _ran_s(live.machine.started)
        self._counts_from += max(check.start_period_s, check.interval_s)

    async def go(self) -> None:
        while not await self._gone_within(self._pause_s()):
            if self._live.machine.state is not MachineState.RUNNING or self._live.disk_full:
                continue
            if self._live.parted is not None:
                continue  # a copy is being made
            why = await run_check(self._live, self._check)
            if not self._live.gone.is_set() and self._live.machine.state is MachineState.RUNNING:
                self._note(why)

    def _pause_s(self) -> float:
        check = self._check
        is_new = self._live.machine.health in ("", "starting")
        return min(check.start_interval_s, check.interval_s) if is_new else check.interval_s

    async def _gone_within(self, pause_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._live.gone.wait()
        return self._live.gone.is_set()

    def _note(self, why: str) -> None:
        """Count a result; `why` it failed is empty for a success."""
        health = self._live.machine.health
        if not why:
            self._failures, health = 0, "healthy"
        elif health not in ("", "starting") or time.monotonic() >= self._counts_from:
            self._failures += 1
            if self._failures >= self._check.retries:
                health = "unhealthy"
        self._record(health, why)

    def _record(self, health: HealthState, why: str) -> None:
        machine = self._live.machine
        if health == machine.health:
            return
        with contextlib.suppress(Error):  # the store cannot be written: the next check tries again
            self._registry.change(
                machine, lambda tell: tell_health(tell, machine, health, why), health=health
            )


async def run_check(live: LiveMachine, check: HealthCheck) -> str:
    """Run the check once. Returns why it failed, empty for a success; ends in time whatever the guest does."""
    command = plan_exec(Command(argv=list(check.test), timeout_s=check.timeout_s), live.machine)
    process: GuestProcess | None = None
    try:
        async with asyncio.timeout(check.timeout_s + _MARGIN_S):
            process = await start_process(
                live.agent(), command, label=_LABEL, timeout_s=check.timeout_s + _MARGIN_S
            )
            said = await _read_said(process)
            await process.forget()
    except TimeoutError:
        if process is not None:
            process.call_off()
        return f"the guest did not end it within {check.timeout_s:g} s"
    except Error as exc:
        return exc.message
    exit_ = process.exit
    if exit_ is None or exit_.code == 0:
        return ""
    if exit_.timed_out:
        return f"it took longer than {check.timeout_s:g} s"
    return f"exit code {exit_.code}" + (f": {said}" if said else "")


async def _read_said(process: GuestProcess) -> str:
    """The last line of the check's output, shortened."""
    said = b""
    async for output in process.outputs():
        said = (said + output.data)[-_SAID_BYTES:]
    lines = said.strip().splitlines()
    return readable(lines[-1], _SAID_MAX) if lines else ""


def _ran_s(started: str) -> float:
    """Seconds since the start of the machine, which may have been under an earlier daemon."""
    with contextlib.suppress(ValueError):
        return max(0.0, time.time() - datetime.fromisoformat(started).timestamp())
    return 0.0
