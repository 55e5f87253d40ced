"""Machines that found the host's disk full: their VMM stopped the vCPUs in the middle of a write until there is space
again.

Nothing is lost: the VMM tries that write again. This is neither a user's pause, which only the user ends, nor idleness,
which any request ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from banger.errors import Error
from banger.host.background import keep_going
from banger.host.fs import free_bytes
from banger.host.thread import in_thread
from banger.machines.ask.pausing import go_on
from banger.machines.keep.events import tell_warning
from banger.machines.life.live import LiveMachine
from banger.machines.life.lives import Lives
from banger.model.ending import PauseCause
from banger.model.machine import Machine, MachineState

log = logging.getLogger("banger.machines")

FAILED = "a read or write of its root disk failed, and the guest was told so"
_HALT_POLL_S, _HALT_POLLS = 0.02, 10
_LOOK_S = 2.0


class DiskRoom:
    """Lives as long as the daemon. Has a task for each machine that waits for space, and watches nothing else."""

    def __init__(self, lives: Lives, needed_bytes: int) -> None:
        self._lives = lives
        self._needed_bytes = needed_bytes
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._full_again: set[str] = set()
        lives.on_begin.append(self.watch)

    def watch(self, live: LiveMachine) -> None:
        """Watch a machine from when it is live. A machine of an earlier daemon may wait for space already."""
        live.vm.watch_disk(lambda: self._attend(live), lambda reason: self._note_failed(live.machine, reason))
        live.disk_full = live.machine.pause_cause is PauseCause.DISK_FULL
        if live.disk_full:
            self._attend(live)

    def _note_failed(self, machine: Machine, reason: str) -> None:
        """Warn once: a guest with a failing disk gets many errors."""
        if not machine.disk_failed:
            log.warning("machine=%s %s: %s", machine.name, FAILED, reason)
            warning = f"{FAILED}: {reason}"
            with contextlib.suppress(Error):  # no space for the record
                self._lives.registry.change(
                    machine,
                    lambda tell: tell_warning(tell, machine, warning),
                    disk_failed=True,
                    warnings=(*machine.warnings, warning),
                )

    def close(self) -> None:
        for task in self._waiting.values():
            task.cancel()

    def _attend(self, live: LiveMachine) -> None:
        machine_id = live.machine.id
        if machine_id in self._waiting:
            self._full_again.add(machine_id)
            return
        task = keep_going(lambda: self._wait(live), f"disk of {live.machine.name}")
        self._waiting[machine_id] = task
        task.add_done_callback(lambda _: self._forget(machine_id))

    def _forget(self, machine_id: str) -> None:
        self._waiting.pop(machine_id, None)
        self._full_again.discard(machine_id)

    async def _wait(self, live: LiveMachine) -> None:
        """Wait until the machine runs, has ended, or a user has paused or stopped it."""
        machine = live.machine
        while not live.gone.is_set():
            self._full_again.discard(machine.id)
            await self._note_full(live)
            while live.disk_full and not live.gone.is_set():
                await asyncio.sleep(_LOOK_S)
                await self._try_again(live)
            if machine.id not in self._full_again:
                return

    async def _note_full(self, live: LiveMachine) -> None:
        machine = live.machine
        async with live.pausing:
            if machine.state is not MachineState.RUNNING or not await _has_halted(live):
                return
            log.warning("machine=%s is halted: no space in %s", machine.name, live.places.directory)
            live.disk_full = True
            self._write_down(machine)

    def _write_down(self, machine: Machine) -> None:
        try:
            self._lives.registry.move(machine, "pause", pause_cause=PauseCause.DISK_FULL)
        except Error as exc:  # no space for the record either: until then it shows as running
            log.warning("machine=%s %s", machine.name, exc.message)

    async def _try_again(self, live: LiveMachine) -> None:
        machine = live.machine
        has_room = await in_thread(free_bytes, live.places.directory) >= self._needed_bytes
        async with live.pausing:
            if live.disk_full and machine.state is MachineState.RUNNING and not has_room:
                self._write_down(machine)
            if not (live.disk_full and has_room):
                return
            try:
                await go_on(self._lives, live)
            except Error as exc:
                log.warning("machine=%s does not continue: %s", machine.name, exc.message)
            else:
                log.info("machine=%s continues: there is space again", machine.name)


async def _has_halted(live: LiveMachine) -> bool:
    """Whether the VMM stopped the vCPUs for lack of space. The VMM reports a failed write just before it stops them, so
    ask repeatedly; and another task may have let them continue meanwhile."""
    for _ in range(_HALT_POLLS):
        try:
            if await live.vm.run_state() == "disk_full":
                return True
        except Error:
            return False
        await asyncio.sleep(_HALT_POLL_S)
    return False
