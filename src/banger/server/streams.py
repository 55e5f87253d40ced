"""What streams are for: run, exec and attach."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from banger.errors import Error
from banger.host.times import Stopwatch
from banger.machines import commands, lifecycle
from banger.machines.execs import RunningExec
from banger.machines.live import LiveMachine
from banger.machines.parts import Parts
from banger.machines.pausing import awake
from banger.model.command import AttachRequest, ExecRequest
from banger.model.machine import Machine, RunRequest
from banger.model.operation import Report
from banger.server.stream import ClientGone, Detached, Order, Resize, Stream

log = logging.getLogger("banger.streams")


async def handle_exec(parts: Parts, socket: WebSocket) -> None:
    """A command in a running machine. A broken connection hangs it up."""
    await socket.accept()
    stream = Stream(socket)
    async with _reporting(stream):
        request: ExecRequest = await stream.receive_request(ExecRequest)
        async with awake(parts, parts.registry.find(socket.path_params["machine"])) as live:
            running = await live.start_exec(request.command, stream.show)
            await stream.send("started", exec=running.info.id, pid=running.info.pid)
            await _follow(parts, stream, live, running, hang_up=True)
            await stream.send("exit", **_exit_fields(running), timings_ms={})


async def handle_attach(parts: Parts, socket: WebSocket) -> None:
    """The main command of a running machine, or the one that is named, from now on."""
    await socket.accept()
    stream = Stream(socket)
    async with _reporting(stream):
        request: AttachRequest = await stream.receive_request(AttachRequest)
        async with awake(parts, parts.registry.find(socket.path_params["machine"])) as live:
            running = commands.find_command(live, request.exec)
            running.watch(stream.show)
            await stream.send("started", exec=running.info.id, pid=running.info.pid)
            await _follow(parts, stream, live, running, hang_up=False)
        if running is live.main:
            await live.ended.wait()
        await stream.send("exit", **_exit_fields(running), timings_ms={})


async def _follow(
    parts: Parts, stream: Stream, live: LiveMachine, running: RunningExec, *, hang_up: bool
) -> None:
    async def obey(order: Order) -> None:
        if isinstance(order, Resize):
            await commands.resize_command(parts, live.machine, running, order.rows, order.cols)
        else:
            await commands.signal_command(parts, live.machine, order.number, running.info.id)

    try:
        await stream.serve(running, obey)
    except Detached:
        running.watch(None)
        live.keep_output(running)
        await stream.send("detached", machine=live.machine.name)
        raise
    except ClientGone:
        running.watch(None)
        if hang_up:
            await commands.hang_up(parts, live.machine, running, signal.SIGHUP)
        raise


def _exit_fields(running: RunningExec) -> dict[str, object]:
    exit_ = running.done.result()
    return {"code": exit_.code, "signal": exit_.signal, "timed_out": exit_.timed_out}


async def handle_run(parts: Parts, socket: WebSocket) -> None:
    """Make a machine, start it, attach to its main command, and see it off."""
    await socket.accept()
    stream = Stream(socket)
    async with _reporting(stream):
        watch = Stopwatch()
        request: RunRequest = await stream.receive_request(RunRequest)
        machine = lifecycle.create(parts, request.spec, wanted="running")
        watch.lap("create")
        try:
            await stream.send("machine", machine=machine)
            await _start(parts, stream, machine, detach=request.detach)
        except BaseException:
            await _discard(parts, machine)
            raise
        if request.detach:
            await stream.send("detached", machine=machine.name)
            return
        await _see_through(parts, stream, machine, watch)


async def _start(parts: Parts, stream: Stream, machine: Machine, *, detach: bool) -> None:
    """Start it as an operation whose progress the client sees. A client that leaves meanwhile cancels it."""
    viewer = None if detach else stream.show

    async def work(report: Report) -> Machine:
        await lifecycle.start(parts, machine, report, viewer)
        return machine

    running = parts.operations.begin("run", f"machine/{machine.name}", work)
    try:
        async for progress in running.events():
            await stream.send(
                "progress",
                phase=progress.phase,
                message=progress.message,
                done=progress.done,
                total=progress.total,
                unit=progress.unit,
            )
        await running.result()
    except BaseException:
        await asyncio.shield(parts.operations.cancel(running.operation.id))
        raise


async def _see_through(parts: Parts, stream: Stream, machine: Machine, watch: Stopwatch) -> None:
    live = parts.live_of(machine)
    main = live.main
    assert main is not None  # a start with a viewer has one
    try:
        watch.lap("start")
        await stream.send("started", exec=main.info.id, pid=main.info.pid)
        with live.in_use():
            await _follow(parts, stream, live, main, hang_up=False)
        watch.lap("run")
    except ClientGone:
        if machine.spec.remove:
            await _discard(parts, machine)
        raise
    await live.ended.wait()
    watch.lap("teardown")
    phases = {**machine.timings_ms, **watch.phases_ms, "total": watch.total_ms()}
    await stream.send("exit", **_exit_fields(main), timings_ms=phases)


async def _discard(parts: Parts, machine: Machine) -> None:
    """A run that came to nothing leaves nothing."""
    try:
        await asyncio.shield(lifecycle.delete(parts, machine, force=True))
    except Error as exc:
        log.warning("machine=%s could not be removed: %s", machine.name, exc.message)


@contextlib.asynccontextmanager
async def _reporting(stream: Stream) -> Any:
    """Errors become a last message; the socket is closed in any case."""
    try:
        yield
    except Detached:
        pass
    except (ClientGone, WebSocketDisconnect):
        log.debug("a client left")
    except Error as exc:
        with contextlib.suppress(ClientGone):
            await stream.send("error", error=exc.as_dict())
    except Exception as exc:
        log.exception("a stream failed")
        error = Error("internal", f"{type(exc).__name__}: {exc}", "see the daemon's log")
        with contextlib.suppress(ClientGone):
            await stream.send("error", error=error.as_dict())
    finally:
        await stream.close()
