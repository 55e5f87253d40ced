"""What machines do now, apart from their records: which are live, which start, which are due to start again, and whose
end is still to be recorded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import NamedTuple, Unpack

from banger.errors import Error
from banger.host.background import in_background
from banger.host.bounded import Locks
from banger.host.proc import ProcessRef
from banger.host.times import Stopwatch
from banger.machines.keep.events import hear_guest
from banger.machines.keep.holdings import Holdings
from banger.machines.keep.registry import Registry
from banger.machines.keep.states import LIVE, advance, wrong_state
from banger.machines.life.live import LiveMachine
from banger.machines.watch.idle import watch_idleness
from banger.model.asked import ASKED
from banger.model.ending import Ending, StartCancelled, StartFailed
from banger.model.event import Tell, tell_nobody
from banger.model.machine import Change, Machine, MachineState
from banger.model.operation import Report

log = logging.getLogger("banger.machines")

_SETTLE_AGAIN_S, _SETTLE_LONGEST_S = 1.0, 60.0


class Start(NamedTuple):
    """One start of a machine, while it takes place."""

    machine: Machine
    report: Report
    watch: Stopwatch


class DueStarts:
    """Machines that are due to start again, each with a timer."""

    def __init__(self) -> None:
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def put(self, machine: Machine, pause_s: float, begin: Callable[[Machine], None]) -> None:
        loop = asyncio.get_running_loop()
        self._timers[machine.id] = loop.call_later(pause_s, self._begin, machine, begin)

    def forget(self, machine: Machine) -> bool:
        """Cancel the due start, because the user starts, stops or deletes the machine. Returns whether a start was
        due."""
        timer = self._timers.pop(machine.id, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _begin(self, machine: Machine, begin: Callable[[Machine], None]) -> None:
        self._timers.pop(machine.id, None)
        begin(machine)


class Lives:
    """Lives as long as the daemon. `on_begin` is called with each machine that becomes live; `on_end` with each machine
    that has ended, is settled and is not removed, and with True if the end was a failure."""

    def __init__(self, registry: Registry, holdings: Holdings, tell: Tell = tell_nobody) -> None:
        self.registry = registry
        self.holdings = holdings
        self.tell = tell  # writes to the journal; a full disk causes no error
        self.live: dict[str, LiveMachine] = {}
        self.starting: dict[str, asyncio.Task[object]] = {}
        self.due = DueStarts()
        # How to settle the ends of machines that could not be recorded.
        self.overdue: dict[str, Callable[[], Awaitable[None]]] = {}
        self.locks = Locks()  # by ids of machines
        self.on_begin: list[Callable[[LiveMachine], None]] = []
        self.on_end: list[Callable[[Machine, bool], None]] = []
        self.shutdown = asyncio.Event()

    def vmms(self) -> list[tuple[str, ProcessRef]]:
        """The process of each VMM that runs, by the name of its machine."""
        return [(live.machine.name, live.process) for live in self.live.values()]

    def get(self, machine: Machine) -> LiveMachine | None:
        return self.live.get(machine.id)

    def of(self, machine: Machine) -> LiveMachine:
        """The running machine. Raises `bad_state` for a machine that does not run."""
        live = self.live.get(machine.id)
        if live is None:
            raise Error(
                "bad_state",
                f"machine {machine.name!r} is {machine.state.value}, not running",
                f"banger vm start {machine.name}",
                {"state": machine.state.value},
            )
        return live

    def looks_after(self, machine: Machine) -> bool:
        """Whether the machine is live or starting, or a verb works on it now."""
        return machine.id in self.live or machine.id in self.starting or self.locks[machine.id].locked()

    def is_at_rest(self, machine: Machine) -> bool:
        """Whether the machine does not run and is not being deleted."""
        if machine.id in self.live or machine.id in self.starting:
            return False
        return machine.state not in LIVE and machine.state is not MachineState.DELETING

    @contextlib.asynccontextmanager
    async def start(self, machine: Machine, report: Report, **fields: Unpack[Change]) -> AsyncIterator[Start]:
        """The block in which a machine starts: after the block it runs, or it is `failed` and holds no host resource
        but its files. A stop meanwhile cancels the task of the start. `fields` change at the beginning."""
        await self.settle_overdue(machine)
        async with self.locks[machine.id]:
            advance(machine, "start")
            await self.holdings.require_released(machine)
            self.registry.move(machine, "start", **(Change(timings_ms={}, origin=None) | fields))
            task = asyncio.current_task()
            assert task is not None
            self.starting[machine.id] = task
            watch = Stopwatch()
            try:
                yield Start(machine, report, watch)
                timings_ms = {**watch.phases_ms, "start": watch.total_ms()}
                self.registry.change(machine, has_started=True, timings_ms=timings_ms)
            except BaseException as exc:
                _name_request(exc)
                await self._give_up(machine, exc)
                raise
            finally:
                del self.starting[machine.id]

    async def cancel_start(self, machine: Machine) -> None:
        """Cancel the start of a machine that has no VMM yet, for example because its image is being pulled. Raises
        `bad_state`."""
        starting = self.starting.get(machine.id)
        advance(machine, "stop")
        if starting is None:
            raise wrong_state(machine, "stop")
        starting.cancel()
        await asyncio.wait([starting])

    def begin(self, live: LiveMachine) -> None:
        """Take over a machine whose guest is up, and record that it runs."""
        self.take_over(live)
        self.registry.move(live.machine, "booted", pid=live.process.pid, agent_boot=live.agent_boot)
        watch_idleness(self.registry, live)

    def take_over(self, live: LiveMachine) -> None:
        """Take over a running machine, perhaps from an earlier daemon: then its agent may not be connected yet."""
        self.live[live.machine.id] = live
        live.on_event = hear_guest(self.tell, live)
        for watch in self.on_begin:
            watch(live)

    def tell_ended(self, machine: Machine, *, failed: bool) -> None:
        """Tell the listeners of a machine that has ended, is settled and is not removed."""
        for hear in self.on_end:
            hear(machine, failed)

    async def remove(self, machine: Machine) -> None:
        """Remove a machine that does not run, after all that it holds is released."""
        if machine.state is not MachineState.DELETING:
            self.registry.move(machine, "delete")
        await self.holdings.release(machine)
        self.registry.remove(machine)

    async def _give_up(self, machine: Machine, cause: BaseException) -> None:
        """Undo a start that failed or was cancelled."""
        live = self.live.pop(machine.id, None)
        ending: Ending = StartCancelled()
        if isinstance(cause, Error):
            ending = StartFailed(code=cause.code, message=cause.message)

        async def settle() -> None:
            await self.holdings.release_runtime(machine)
            if live is not None:
                await live.watch_task
            if machine.state is MachineState.STARTING:
                self.registry.move(machine, "fail", ending)
            elif machine.state in LIVE:
                self.registry.move(machine, "exited", ending)

        await _to_its_end(self.settle_or_owe(machine, settle))
        if live is not None:
            live.ended.set()

    async def settle_or_owe(self, machine: Machine, settle: Callable[[], Awaitable[None]]) -> None:
        """Record the end of a machine: now, or as soon as the store can be written."""
        try:
            await settle()
        except Error as exc:
            log.warning("machine=%s its end is not settled: %s", machine.name, exc.message)
            self.overdue[machine.id] = settle
            in_background(self._settle_later(machine), "what follows a machine's end")

    async def _settle_later(self, machine: Machine) -> None:
        pause_s = _SETTLE_AGAIN_S
        while machine.id in self.overdue and not self.shutdown.is_set():
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _SETTLE_LONGEST_S)
            with contextlib.suppress(Error):  # logged before
                await self.settle_overdue(machine)

    async def settle_overdue(self, machine: Machine) -> None:
        """Settle an end that could not be settled before; each verb calls this first. Raises the error if that fails
        again."""
        if machine.id not in self.overdue:
            return
        async with self.locks[machine.id]:
            settle = self.overdue.get(machine.id)
            if settle is not None:
                await settle()
                del self.overdue[machine.id]


def _name_request(cause: BaseException) -> None:
    """Let the error of a start say which request began it: logs of the daemon and of the VMM name it, too."""
    asked = ASKED.get()
    if asked is not None and isinstance(cause, Error):
        cause.details.setdefault("request", asked.request)


async def _to_its_end(work: Coroutine[None, None, None]) -> None:
    """Await `work` to its end even if this task is cancelled, then raise the cancellation: work that undoes something
    must not be left half done."""
    task, cancelled = asyncio.create_task(work), False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError
