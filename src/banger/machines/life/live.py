"""A machine whose VMM runs: the VM, the agent's connection, the commands.

A `LiveMachine` exists from the moment that its agent is configured until its VMM's process is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from banger.agent.connection import AgentConnection
from banger.agent.events import AgentEvent, EventCode
from banger.agent.parted import Parted
from banger.agent.process import start_process
from banger.errors import AgentSilent, Error
from banger.guests.guest import Guest
from banger.guests.identity import refresh
from banger.host.background import in_background, until_done
from banger.host.proc import ProcessRef, wait_gone
from banger.host.times import now
from banger.machines.ask.deadlines import ANSWER_S, watch_deadline
from banger.machines.ask.execs import ExecLog, RunningExec, Viewer, remove_exec_log
from banger.machines.life.guest_wishes import plan_limits_of_processes
from banger.machines.life.main_command import plan_exec
from banger.model.command import Command, Exec
from banger.model.machine import Machine, MachineState
from banger.vmm.base import Driver, Vm, VmPlaces
from banger.wire.constants import Type

# A later daemon recognises running commands by these labels. A user's command may have any name, so its label has a
# prefix.
MAIN_LABEL = "main"
EXEC_LABEL = "$ "
# Of a program of the agent that works for a client.
APPLET_LABEL = "@ "
_ENDED_EXECS_KEPT = 64
_OOM_VICTIMS_KEPT = 64
_START_S = 30.0
_START_MARGIN_S = 2.0
_SETTLE_S = 1.0


class UseListener(Protocol):
    """Hears when the machine is no longer in use, and when it is used again."""

    def used(self) -> None: ...

    def unused(self) -> None: ...


class Reattached(NamedTuple):
    """The VM of an earlier daemon; its agent may be slow to answer."""

    places: VmPlaces
    driver: Driver
    vm: Vm


class LiveMachine:
    def __init__(self, machine: Machine, guest: Guest | Reattached) -> None:
        self.machine = machine
        self.places = guest.places
        self.booted = isinstance(guest, Guest) and guest.booted
        self.driver = guest.driver
        self.vm = guest.vm
        self.connection: AgentConnection | None = None
        self.main: RunningExec | None = None
        self.execs: dict[int, RunningExec] = {}
        self.gone = asyncio.Event()  # the VMM process has ended
        self.ended = asyncio.Event()  # the end is settled, too
        self.lost: Error | None = None  # why there is no session, if one was lost
        self.parted: Parted | None = None  # what goes on in the next session
        self.reconnecting = asyncio.Lock()
        self.ask_again_at = 0.0
        self.users = 0
        self.connections = 0  # to ports of the guest, through the agent
        self.pausing = asyncio.Lock()  # held to stop or resume the vCPUs
        self.disk_full = False  # the VMM stopped the vCPUs: no space; perhaps not recorded
        self.idle_pause: UseListener | None = None
        self.on_sleep: Callable[[], object] = (
            _nobody_hears  # the vCPUs stop for idleness, or go on after that
        )
        self._oom_victims: deque[int] = deque(
            maxlen=_OOM_VICTIMS_KEPT
        )  # as told by the guest; 0: pid unknown
        self.console_begin = 0  # of this start; the log may hold earlier ones
        self.goes_down = False  # the guest says that it shuts down
        self.on_event: Callable[[str, str], None] = _unheard
        self.sharing: asyncio.Task[None] | None = None  # keeps its directories served
        self.adopted = asyncio.Event()  # connections made, or not to be expected soon
        self.agent_boot = machine.agent_boot  # identifies one start of the agent
        if isinstance(guest, Guest):
            self.adopted.set()
            self.agent_boot = _boot_of(guest.connection)
            self.connect(guest.connection)
        self.watch_task = asyncio.create_task(self._watch(), name=f"watch {machine.name}")

    @property
    def process(self) -> ProcessRef:
        return self.vm.process

    async def _watch(self) -> None:
        """Wait for the end of the VMM process, whatever causes it. An error while waiting does not count as the end."""
        await until_done(lambda: wait_gone(self.process), f"the watch of {self.machine.name}")
        self.gone.set()
        self._rest()
        await self.vm.close()

    async def detach(self) -> None:
        """Let go of the machine: the daemon ends, the machine continues."""
        self.watch_task.cancel()
        self._rest()
        await self.vm.close()

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """The machine is in use within the block."""
        self._use()
        try:
            yield
        finally:
            self._unuse()

    def _use(self) -> None:
        self.users += 1
        if self.idle_pause is not None:
            self.idle_pause.used()

    def _unuse(self) -> None:
        self.users -= 1
        if self.idle_pause is not None and not self.users:
            self.idle_pause.unused()

    async def catch_up(self) -> None:
        """Correct what depends on time after the vCPUs were stopped: clock, sizes of terminals, signals. Ignores errors
        of the agent."""
        if self.connection is not None:
            with contextlib.suppress(Error):
                await refresh(self.connection, entropy=False)
                for running in tuple(self.execs.values()):
                    await running.fit()
                    await running.hang_up()

    def connect(self, connection: AgentConnection) -> None:
        """Own the connection, which may be lost already."""
        self.connection, self.lost = connection, None
        connection.on_lost = self.on_agent_lost
        connection.on_event = self.on_agent_event
        if connection.lost is not None:
            self.on_agent_lost(connection.lost)

    def has_another_agent(self, connection: AgentConnection) -> bool:
        """Whether the agent was started again since the last session, so that its commands are lost. True only once per
        restart."""
        before, self.agent_boot = self.agent_boot, _boot_of(connection)
        return before not in ("", self.agent_boot)

    def on_agent_event(self, event: AgentEvent) -> None:
        """Handle an event of the agent: as untrusted as all that a guest says."""
        if event.code == EventCode.OOM:
            self._oom_victims.append(event.pid)
        elif event.code == EventCode.SHUTDOWN:
            self.goes_down = True
        self.on_event(event.code, event.message)

    def was_oom_killed(self, command: RunningExec) -> bool:
        """Whether the guest's kernel killed the command for lack of memory, according to the guest."""
        return command.info.pid in self._oom_victims or 0 in self._oom_victims

    def on_agent_lost(self, error: Error) -> None:
        self.lost = error
        self.connection = None

    async def part(self, error: Error) -> None:
        """End the session before the VMM does. Its commands go on in the next one (`sessions.resync`); requests have a
        moment for their answers."""
        if self.connection is None:
            return
        if self.machine.state is MachineState.RUNNING:
            await self.connection.settle(_SETTLE_S)
        if self.connection is not None:  # not lost meanwhile
            self.parted = Parted(self.connection, error)
            self.on_agent_lost(error)

    def _rest(self) -> None:
        if self.sharing is not None:
            self.sharing.cancel()
        if self.idle_pause is not None:
            self.idle_pause.used()
        self.close_connection()
        if self.parted is not None:
            self.parted.give_up(
                Error("agent_lost", f"the agent connection of {self.machine.name} was closed")
            )
            self.parted = None

    def close_connection(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def agent(self) -> AgentConnection:
        """The connection, or the error that says why there is none."""
        if self.connection is None:
            raise self.lost or Error(
                "agent_lost",
                f"the agent of {self.machine.name} is not connected",
                f"banger vm health {self.machine.name}",
            )
        return self.connection

    async def start_main(
        self, command: Command, viewer: Viewer | None, *, process_1: bool = False
    ) -> RunningExec:
        """Start the machine's main command; its output also goes to `exec.log`. `process_1`: the command is process 1
        of a namespace of its own."""
        process = await start_process(
            self.agent(),
            command,
            label=MAIN_LABEL,
            make_cwd=True,
            process_1=process_1,
            limits=self._limits_of_processes(),
        )
        log = ExecLog(self.places.directory, resume=False)
        info = _info(process.channel, process.pid, command)
        info.main = True
        self.main = self.track(RunningExec(process, info, viewer=viewer, log_to=log))
        self.watch_deadline(self.main, command.timeout_s)
        return self.main

    async def start_exec(self, command: Command, viewer: Viewer | None, applet: str = "") -> RunningExec:
        """Start a command beside the main command, with what that has (`plan_exec`). An `applet` has none of it."""
        label = (APPLET_LABEL if applet else EXEC_LABEL) + (command.argv[0] if command.argv else "")[:60]
        limit_s = _start_limit_s(command)
        try:
            process = await start_process(
                self.agent(),
                _words_of_applet(command) if applet else plan_exec(command, self.machine),
                label=label,
                applet=applet,
                make_cwd=not (applet or command.cwd),  # the image's need not be on its disk
                timeout_s=limit_s,
                limits=self._limits_of_processes(),
            )
        except AgentSilent as exc:
            if limit_s == _START_S:
                raise
            raise Error("timeout", exc.message, exc.hint) from exc  # the time-out that the user asked for
        info = _info(process.channel, process.pid, command)
        running = self.track(RunningExec(process, info, viewer=viewer))
        if viewer is None:
            self.keep_output(running)
        self.use_until_end(running)
        self.watch_deadline(running, command.timeout_s)
        return running

    def _limits_of_processes(self) -> tuple[bytes, ...]:
        return tuple(plan_limits_of_processes(self.machine.spec.ulimits))

    def watch_deadline(self, running: RunningExec, timeout_s: float, in_words: str = "") -> None:
        """Call the command overdue when the guest does not end it within the time; 0 means that it may run for ever.
        `in_words` tells the limit if that is not `timeout_s`."""
        if timeout_s:
            name = self.machine.name
            work = watch_deadline(
                running, name, timeout_s, self._stands_still, self._answers, in_words=in_words
            )
            in_background(work, f"the time-out of a command in {self.machine.name}")

    def _stands_still(self) -> bool:
        return self.disk_full or self.machine.state is MachineState.PAUSED

    async def _answers(self) -> bool:
        """Whether the agent answers. True without a session: the end of a session ends its commands anyway."""
        if self.connection is None:
            return True
        try:
            await self.connection.request(Type.PING, timeout_s=ANSWER_S)
        except AgentSilent:
            return False
        except Error:
            pass
        return True

    def keep_output(self, running: RunningExec) -> None:
        """Log the output of a command that has no viewer from now on. The output of the main command is always
        logged."""
        running.info.detached = True
        running.log_from_now(self.places.directory)

    def use_until_end(self, running: RunningExec) -> None:
        """A command of a client keeps the machine in use until the command ends; the main command does not."""
        self._use()
        running.done.add_done_callback(lambda _: self._unuse())

    def track(self, running: RunningExec) -> RunningExec:
        """Keep the command in the list, and limit the list."""
        self.execs[running.info.id] = running
        ended = [i for i, e in self.execs.items() if not e.info.running and e is not self.main]
        for exec_id in ended[: max(0, len(ended) - _ENDED_EXECS_KEPT)]:
            self.execs.pop(exec_id)
            remove_exec_log(self.places.directory, exec_id)
        return running


def _boot_of(connection: AgentConnection) -> str:
    return connection.welcome.boot.hex() if connection.welcome else ""


def _nobody_hears() -> None:
    """No part of the daemon has to know that the machine sleeps."""


def _unheard(code: str, message: str) -> None:
    """No handler is set; the log has the event."""


def _start_limit_s(command: Command) -> float:
    """Seconds that the guest gets to start a command: if the command has a time-out, little more than that."""
    return min(_START_S, command.timeout_s + _START_MARGIN_S) if command.timeout_s else _START_S


def _words_of_applet(command: Command) -> Command:
    """The agent is told the name of an applet apart from its arguments."""
    return replace(command, argv=command.argv[1:])


def _info(channel: int, pid: int, command: Command) -> Exec:
    return Exec(
        id=channel,
        argv=list(command.argv),
        pid=pid,
        started=now(),
        tty=command.tty,
        stdin=command.stdin or command.tty,
    )
