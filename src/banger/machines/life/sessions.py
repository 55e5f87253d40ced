"""Sessions with an agent that has had a session before: with an earlier daemon, with the machine that this machine is a
copy of, or with this daemon until the connection was lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Iterable

from banger.agent.connection import AgentRefused, open_connection
from banger.agent.parted import Parted
from banger.agent.process import KnownExec, adopt_process, list_execs
from banger.errors import AgentError, AgentRestarted, Error
from banger.guests.identity import refresh
from banger.machines.ask.execs import ExecLog, RunningExec
from banger.machines.keep.registry import Registry
from banger.machines.life.lifecycle import end_without_main, watch_main
from banger.machines.life.live import APPLET_LABEL, EXEC_LABEL, MAIN_LABEL, LiveMachine
from banger.machines.life.lives import Lives
from banger.model.command import Exec
from banger.model.machine import MachineState
from banger.wire.constants import Tag, Type

log = logging.getLogger("banger.adopt")

AGENT_RESTARTED = "the agent was killed and started again; the exit codes of earlier commands are unknown"
ANSWER_S = 10.0
# Short, because a client waits for a command meanwhile.
_WAITED_FOR_S = 2.0
_ASK_AGAIN_S = 5.0


# An agent that has not seen that the port was closed takes what comes next for the rest of a frame that was cut off.
UNNOTICED_S = 0.1


async def resync(lives: Lives, live: LiveMachine, answer_s: float = ANSWER_S) -> None:
    """Begin a new session with the agent, and take over the commands that outlived the last session. If any step fails,
    the machine has no session."""
    name = live.machine.name
    parted, live.parted = live.parted, None
    try:
        if parted is not None:  # ended a moment ago, and not with an earlier daemon
            await asyncio.sleep(UNNOTICED_S)
        connection = await open_connection(live.vm.open_agent, name, answer_s, resync=True)
    except BaseException as exc:
        _stay_without(live, exc, parted)
        raise
    try:
        known = await list_execs(connection)
        connection.reserve_channels(max(live.execs, default=0))  # lost commands stay listed
        if live.has_another_agent(connection):
            _tell_restart(lives.registry, live)
        live.connect(connection)
        with contextlib.suppress(Error):  # the vCPUs, and so the clock, may have been stopped
            await refresh(connection, entropy=True)
        if parted is not None:
            known = await parted.go_on(connection, known, answer_s)
        await adopt_execs(lives, live, known)
    except BaseException as exc:
        connection.close()
        _stay_without(live, exc, parted)
        raise
    log.info("machine=%s taken over", name)


def _stay_without(live: LiveMachine, exc: BaseException, parted: Parted | None) -> None:
    """The machine has no session, and what would have gone on in it ends."""
    given_up = Error("agent_lost", f"the connection to the agent of {live.machine.name} was given up")
    error = exc if isinstance(exc, Error) else given_up
    live.on_agent_lost(error)
    if parted is not None:
        parted.give_up(error)


async def catch_up(lives: Lives, live: LiveMachine) -> None:
    """What a guest needs after its vCPUs were stopped: a session, if the VMM has ended the last one, or if this daemon
    has had none because the vCPUs were stopped at its start; and what depends on time. Ignores errors of the agent: the
    machine runs, and the next request tries again."""
    has_had_none = live.connection is None and live.lost is None
    if live.parted is not None or has_had_none:
        async with live.reconnecting:
            try:
                await resync(lives, live)
            except Error as exc:
                log.warning("machine=%s %s", live.machine.name, exc.message)
    await live.catch_up()


async def reconnect(lives: Lives, live: LiveMachine) -> None:
    """Begin a new session if the last was lost. A guest that does not answer is asked at intervals only, so that other
    requests fail at once."""
    if live.lost is None:
        return
    async with live.reconnecting:
        if live.connection is not None or time.monotonic() < live.ask_again_at:
            return
        try:
            await resync(lives, live, _WAITED_FOR_S)
        except Error as exc:
            log.info("machine=%s %s", live.machine.name, exc.message)
            live.ask_again_at = time.monotonic() + _ASK_AGAIN_S


def _tell_restart(registry: Registry, live: LiveMachine) -> None:
    """Record a warning, so that later readers know too: the exit of the main command, if there is one, will be
    unknown."""
    machine = live.machine
    log.warning("machine=%s has another agent", machine.name)
    warnings = tuple(dict.fromkeys((*machine.warnings, AGENT_RESTARTED)))  # each warning once
    with contextlib.suppress(Error):  # the session must not fail with the store
        registry.change(machine, warnings=warnings, agent_boot=live.agent_boot)
        live.on_event("agent_restarted", "earlier commands keep running, but nothing watches them")


async def renew_sessions(lives: Lives, machines: Iterable[LiveMachine]) -> None:
    """Begin sessions with agents that report a restart, even if no request needs one soon, so that the machine's record
    shows the restart."""
    await asyncio.gather(*(reconnect(lives, live) for live in machines if _wants_session(live)))


async def give_up_deserted(live: LiveMachine) -> None:
    """Give up a session whose agent is gone for good. A guest that does not answer may only be slow; but if no process
    in it has the agent's port open, it will never answer, and clients that wait for a command get an error."""
    with contextlib.suppress(Error):
        if live.connection is not None and not await live.vm.agent_port_is_held():
            live.connection.give_up(_deserted(live.machine.name))


def _deserted(name: str) -> Error:
    return Error(
        "agent_lost",
        f"no process in {name} answers any more: the agent was killed, and so was the keeper that starts it again",
        f"processes in the machine keep running; a stop and a start bring the agent back: banger vm stop {name}",
    )


def _wants_session(live: LiveMachine) -> bool:
    """Also one whose pause or copy failed after its session was ended for that."""
    was_restarted = isinstance(live.lost, AgentRestarted)
    was_parted = live.parted is not None and not live.pausing.locked()
    return (
        (was_restarted or was_parted)
        and live.machine.state is MachineState.RUNNING
        and not live.gone.is_set()
    )


async def adopt_execs(lives: Lives, live: LiveMachine, known: list[KnownExec]) -> None:
    """Take over the commands that run in a guest which an earlier daemon started, or which is a copy."""
    for entry in known:
        if _is_over(live, entry):
            live.agent().tell(Type.FORGET, [(Tag.EXEC, entry.channel)])
            continue
        try:
            running = await _adopt_exec(live, entry)
        except (AgentError, AgentRefused) as exc:
            log.warning("machine=%s exec %d: %s", live.machine.name, entry.channel, exc.message)
            continue
        if entry.label == MAIN_LABEL:
            live.main = running
            watch_main(lives, live, running)
        else:
            live.use_until_end(running)
        if _is_applet(entry):
            await _end_applet(live, running)
    if live.main is None and live.machine.exit is not None:  # the main command ended, then the last daemon
        end_without_main(lives, live)


def _is_applet(entry: KnownExec) -> bool:
    return entry.label.startswith(APPLET_LABEL)


async def _end_applet(live: LiveMachine, running: RunningExec) -> None:
    """It worked for a client of an earlier session, who is gone. A listener would hold its port for ever."""
    running.note_hang_up(signal.SIGHUP)
    with contextlib.suppress(Error):
        await running.hang_up()


def _is_over(live: LiveMachine, entry: KnownExec) -> bool:
    """Whether this daemon knows the exit of the command: the session ended before the agent was told so."""
    running = live.execs.get(entry.channel)
    return running is not None and running.info.exit is not None and not entry.running


async def _adopt_exec(live: LiveMachine, entry: KnownExec) -> RunningExec:
    """The command's log continues where it ended, or begins with the output that is still unread."""
    is_main = entry.label == MAIN_LABEL
    sink = None if _is_applet(entry) else _open_log(live, None if is_main else entry.channel)
    seen = sink.positions if sink is not None else (0, 0)
    process = await adopt_process(live.agent(), entry, seen)
    if sink is not None:
        sink.go_on_at(process.received)
    argv = [entry.label.removeprefix(EXEC_LABEL).removeprefix(APPLET_LABEL)]
    info = Exec(
        id=entry.channel,
        argv=argv,
        pid=entry.pid,
        detached=True,
        main=is_main,
        tty=entry.tty,
        stdin=entry.stdin,
    )
    running = live.track(RunningExec(process, info, log_to=sink))
    live.watch_deadline(running, entry.timeout_s, "its time-out")
    return running


def _open_log(live: LiveMachine, exec_id: int | None) -> ExecLog | None:
    """None if the log's files are damaged: the command continues, and its output is read."""
    try:
        return ExecLog(live.places.directory, resume=True, exec_id=exec_id)
    except OSError as exc:
        log.warning("machine=%s its output is not logged any more: %s", live.machine.name, exc)
        return None
