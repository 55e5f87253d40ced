"""Idle machines: after some time without use their vCPUs are stopped until the next request.

Each use of a machine is within `LiveMachine.in_use`: commands, streams, files, questions. The work of the main command
counts by the processor time that it takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from banger.errors import Error
from banger.host.background import in_background
from banger.host.proc import cpu_seconds
from banger.machines.keep.registry import Registry
from banger.machines.life.live import LiveMachine
from banger.model.ending import PauseCause
from banger.model.machine import MachineState

log = logging.getLogger("banger.idle")

# Percent of one processor; an emulated guest that only waits takes about 1.
_BUSY_PERCENT = 5.0


class IdlePause:
    """Pauses one machine, from when it is live until its VMM ends. Has a timer only while the machine runs unused."""

    def __init__(self, registry: Registry, live: LiveMachine) -> None:
        self._registry = registry
        self._live = live
        self._after_s = live.machine.spec.idle_pause_s
        self._timer: asyncio.TimerHandle | None = None
        self._pausing: asyncio.Task[None] | None = None
        self._cpu_s = 0.0

    def used(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def unused(self) -> None:
        """Start to wait again."""
        self.used()
        if self._after_s and not self._live.gone.is_set():
            self._cpu_s = cpu_seconds(self._live.process)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._after_s, self._expired)

    def _expired(self) -> None:
        self._timer = None
        spent_s = cpu_seconds(self._live.process) - self._cpu_s
        if spent_s * 100 > _BUSY_PERCENT * self._after_s:
            self.unused()
            return
        self._pausing = in_background(self._pause(), f"idle {self._live.machine.name}")

    async def _pause(self) -> None:
        live = self._live
        async with live.pausing:
            if live.users or live.machine.state is not MachineState.RUNNING:
                return
            try:
                await stand_still(self._registry, live, PauseCause.IDLE)
            except Error as exc:
                log.warning("machine=%s cannot be paused: %s", live.machine.name, exc.message)
                self.unused()


async def stand_still(registry: Registry, live: LiveMachine, cause: PauseCause) -> None:
    """Stop the vCPUs and record the pause: both or neither. The caller holds the `pausing` lock."""
    if (await live.driver.info()).pause_ends_session:
        await live.part(Error("agent_lost", f"a pause of {live.machine.name} ended the session"))
    await live.vm.pause()
    try:
        registry.move(live.machine, "pause", pause_cause=cause)
    except Error:
        with contextlib.suppress(Error):
            await live.vm.resume()
        raise
    if cause is PauseCause.IDLE:
        live.on_sleep()


def watch_idleness(registry: Registry, live: LiveMachine) -> None:
    """For a machine whose spec has an `idle_pause_s`."""
    if live.machine.spec.idle_pause_s:
        live.idle_pause = IdlePause(registry, live)
        if not live.users and live.machine.state is not MachineState.PAUSED:
            live.idle_pause.unused()
