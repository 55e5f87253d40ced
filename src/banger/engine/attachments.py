"""Verbs that are attachments (run, exec, attach, tunnel, applet), and what happens to command and machine when the
client leaves.

If the client of an exec leaves, its command gets SIGHUP, as when a terminal is closed. A run with `remove` ends with
its attachment; any other run continues. If the client of a run leaves before its command runs, nothing stays of the
run. A client that detaches, at any time, stops nothing: what it asked for begins and continues.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from typing import Any

from banger.api import machines as verbs
from banger.engine.engine import Engine
from banger.engine.machines import find
from banger.engine.paths import refuse_mounts_of_others, refuse_sources_of_others
from banger.engine.secrets import require_known
from banger.errors import Error
from banger.host.times import Stopwatch
from banger.machines.ask import commands
from banger.machines.ask.attachments import (
    Attachment,
    Detached,
    Exited,
    Last,
    Left,
    MachineMade,
    Parted,
    Started,
)
from banger.machines.ask.connections import connected
from banger.machines.ask.execs import RunningExec
from banger.machines.ask.pausing import awake
from banger.machines.life import lifecycle
from banger.machines.life.live import LiveMachine
from banger.machines.life.lives import Lives
from banger.model.command import Command
from banger.model.machine import Machine, RunRequest
from banger.model.operation import Report
from banger.model.principal import Principal

log = logging.getLogger("banger.attachments")

# When a VMM ends, the loss of the agent's connection may be noticed first.
_VMM_ENDS_S = 2.0


def run(engine: Engine, principal: Principal, request: RunRequest) -> Attachment:
    """Make a machine, start it, attach to its main command, and stay to its end. Raises `not_permitted`."""
    refuse_sources_of_others(principal, request.spec.image)
    refuse_mounts_of_others(principal, request.spec)
    require_known(engine, request.spec)

    async def life(attachment: Attachment) -> Last:
        watch = Stopwatch()
        machine = lifecycle.create(
            engine.registry, engine.makings.drivers, request.spec, wanted="running", owner=principal.uid
        )
        watch.lap("create")
        try:
            with contextlib.suppress(Parted):
                await attachment.say(MachineMade(machine))
            await _start(engine, attachment, machine, detach=request.detach)
        except BaseException:
            await _discard(engine.lives, machine)
            raise
        if request.detach:
            return Detached(machine.name)
        return await _see_through(engine, attachment, machine, watch)

    return Attachment(life)


def exec_command(engine: Engine, principal: Principal, request: verbs.ExecMachine) -> Attachment:
    """Run a command in a running machine."""
    return _run_in(engine, request, request.command)


def run_applet(engine: Engine, principal: Principal, request: verbs.RunApplet) -> Attachment:
    """Run a program that is part of the agent in a running machine."""
    command = Command(argv=[request.applet, *request.argv], user=request.user, stdin=True)
    return _run_in(engine, request, command, request.applet)


def _run_in(engine: Engine, request: verbs.OneMachine, command: Command, applet: str = "") -> Attachment:
    async def life(attachment: Attachment) -> Last:
        async with awake(engine.lives, find(engine.registry, request)) as live:
            attachment.expect_client()
            running = await live.start_exec(command, attachment.show, applet)
            try:
                await _follow(engine.lives, attachment, live, running)
            except Parted:
                return Detached(live.machine.name)
            except Left:
                await commands.hang_up(engine.lives, live.machine, running, signal.SIGHUP)
                raise
        return _exited(running)

    return Attachment(life)


def attach(engine: Engine, principal: Principal, request: verbs.AttachMachine) -> Attachment:
    """Attach to the main command of a running machine, or to the command with a number."""

    async def life(attachment: Attachment) -> Last:
        async with awake(engine.lives, find(engine.registry, request)) as live:
            running = commands.find_command(live, request.exec)
            running.watch(attachment.show)
            try:
                await _follow(engine.lives, attachment, live, running)
            except Parted:
                return Detached(live.machine.name)
        if running is live.main:
            await _ended(attachment, live)
        return _exited(running)

    return Attachment(life)


def tunnel(engine: Engine, principal: Principal, request: verbs.TunnelMachine) -> Attachment:
    """Connect to a port of a running machine, also on its own loopback."""

    async def life(attachment: Attachment) -> Last:
        async with (
            awake(engine.lives, find(engine.registry, request)) as live,
            connected(live, request.port) as guest,
        ):
            try:
                await attachment.say(Started(0, 0))
                return Exited(await attachment.converse(guest), {})
            except Parted:
                return Detached(live.machine.name)

    return Attachment(life)


SESSIONS: dict[str, Callable[[Engine, Principal, Any], Attachment]] = {
    verbs.RUN.name: run,
    verbs.EXEC.name: exec_command,
    verbs.ATTACH.name: attach,
    verbs.TUNNEL.name: tunnel,
    verbs.APPLET.name: run_applet,
}


async def _follow(lives: Lives, attachment: Attachment, live: LiveMachine, running: RunningExec) -> None:
    async def obey(order: int | tuple[int, int]) -> None:
        if isinstance(order, tuple):
            await commands.resize_command(lives, live.machine, running, *order)
        else:
            await commands.signal_command(lives, live.machine, order, running.info.id)

    try:
        await attachment.say(Started(running.info.id, running.info.pid))
        await attachment.follow(running, obey)
    except Parted:
        live.keep_output(running)
        raise
    finally:
        running.unwatch(attachment.show)


async def _ended(attachment: Attachment, live: LiveMachine) -> None:
    """Wait for the end of a machine whose command has ended. To detach is too late: nothing continues."""
    with contextlib.suppress(Parted):
        await attachment.unless_left(live.ended.wait())


async def _start(engine: Engine, attachment: Attachment, machine: Machine, *, detach: bool) -> None:
    """Start the machine as an operation whose progress the client sees. The start is cancelled if the client leaves
    meanwhile, but not if it detaches."""
    viewer = None if detach else attachment.show

    async def work(report: Report) -> Machine:
        await lifecycle.start(engine.lives, engine.makings, machine, report, viewer)
        return machine

    running = engine.operations.begin("run", f"machine/{machine.name}", work)

    async def show() -> None:
        async for progress in running.events():
            await attachment.say(progress)

    try:
        with contextlib.suppress(Parted):
            await attachment.unless_left(show())
        await running.result()
    except BaseException:
        await asyncio.shield(engine.operations.cancel(running.operation.id))
        raise


async def _see_through(engine: Engine, attachment: Attachment, machine: Machine, watch: Stopwatch) -> Last:
    lives = engine.lives
    live = lives.of(machine)
    main = live.main
    assert main is not None  # every start with a viewer has a main command
    try:
        watch.lap("start")
        with live.in_use():
            await _follow(lives, attachment, live, main)
        watch.lap("run")
        await _ended(attachment, live)
    except Parted:
        return Detached(machine.name)
    except (Left, Error) as exc:
        if machine.spec.remove:
            await _see_off(lives, live, gone=isinstance(exc, Left))
        raise
    watch.lap("teardown")
    timings_ms = {**machine.timings_ms, **watch.phases_ms, "total": watch.total_ms()}
    return Exited(main.done.result(), timings_ms, engine.passages.denials(machine))


def _exited(running: RunningExec) -> Exited:
    return Exited(running.done.result(), {})


async def _see_off(lives: Lives, live: LiveMachine, *, gone: bool) -> None:
    """End a machine with `remove` whose client is gone, or the end of whose command cannot be known any more. If the
    reason is the end of this daemon, the next daemon waits for the command."""
    if not gone:
        if lives.shutdown.is_set():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_VMM_ENDS_S):
                await live.ended.wait()
    if not live.ended.is_set():
        await _discard(lives, live.machine)


async def _discard(lives: Lives, machine: Machine) -> None:
    """Delete the machine of a run that failed."""
    try:
        await asyncio.shield(lifecycle.delete(lives, machine, force=True))
    except Error as exc:
        log.warning("machine=%s could not be removed: %s", machine.name, exc.message)
