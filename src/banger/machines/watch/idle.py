"""Machines that nobody uses: after a while their vCPUs are stopped, until somebody wants something of them.

Whoever uses a machine says so with `LiveMachine.in_use`: commands, streams, files, questions. What its main command
does by itself counts by the processor time it takes.
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

# Of one processor; an emulated guest that only waits takes about one.
_BUSY_PERCENT = 5.0


class IdlePause:
    """Of one machine, from when it is live until its VMM ends. Has a timer only while the machine runs unused."""

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
        """Begin to wait anew."""
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
    """Stop its vCPUs and write that down, with its lock held: both, or neither."""
    await live.vm.pause()
    try:
        registry.move(live.machine, "pause", pause_cause=cause)
    except Error:
        with contextlib.suppress(Error):
            await live.vm.resume()
        raise


def watch_idleness(registry: Registry, live: LiveMachine) -> None:
    """For a machine that asked for it."""
    if live.machine.spec.idle_pause_s:
        live.idle_pause = IdlePause(registry, live)
        if not live.users and live.machine.state is not MachineState.PAUSED:
            live.idle_pause.unused()
