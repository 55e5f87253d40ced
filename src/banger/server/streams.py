"""Streams (docs/api.md): run, exec and attach over WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from banger.agent.process import Output
from banger.errors import Error
from banger.machines import lifecycle
from banger.machines.clock import Stopwatch
from banger.machines.execs import RunningExec
from banger.machines.live import LiveMachine
from banger.machines.parts import Parts
from banger.model.command import ExecRequest
from banger.model.machine import Machine, RunRequest
from banger.model.operation import Report
from banger.server.calls import decode

log = logging.getLogger("banger.streams")

STDIN_LIMIT_BYTES = 1024 * 1024
_CREDIT_STEP_BYTES = 128 * 1024


class Detached(Exception):
    """The client left on purpose; what runs goes on."""


class ClientGone(Exception):
    """The client's connection broke."""


class Stream:
    """One client's stream, from its first message to its close."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._stdin: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._stdin_held = 0
        self._consumed = 0
        self._credited = 0

    async def receive_request(self, kind: Any) -> Any:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise ClientGone
        return decode(message.get("text") or "", kind)

    async def send(self, type_: str, **fields: object) -> None:
        text = msgspec.json.encode({"type": type_, **fields}).decode()
        try:
            await self._socket.send_text(text)
        except (RuntimeError, WebSocketDisconnect) as exc:
            raise ClientGone from exc

    async def show(self, output: Output) -> None:
        """An exec's viewer: its output as binary messages."""
        await self._socket.send_bytes(bytes((output.stream,)) + output.data)

    async def close(self, code: int = 1000) -> None:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await self._socket.close(code)

    async def serve(self, running: RunningExec) -> None:
        """Carry the client's input to a command until the command has ended. Raises `Detached`,
        `ClientGone`, and the error that ended the command's connection."""
        done = running.done  # never cancelled by us: others wait for it too
        reader = asyncio.create_task(self._read(running))
        feeder = asyncio.create_task(self._feed(running))
        try:
            waiting: list[asyncio.Future[Any]] = [done, reader]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                reader.result()  # raises why the client is no longer there
            done.result()
        finally:
            for task in (reader, feeder):
                task.cancel()
            await asyncio.wait([reader, feeder])
            for task in (reader, feeder):
                if not task.cancelled():
                    task.exception()

    async def _read(self, running: RunningExec) -> None:
        """The client's messages: data is queued (bounded by credit), control acts at once."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise ClientGone
            data = message.get("bytes")
            if data is not None:
                self._take_stdin(data)
            else:
                await self._control(running, decode(message.get("text") or "", dict[str, Any]))

    def _take_stdin(self, data: bytes) -> None:
        if not data or data[0] != 0:
            raise Error("bad_request", "a client may only send channel 0, stdin")
        self._stdin_held += len(data) - 1
        if self._stdin_held > STDIN_LIMIT_BYTES:
            raise Error("payload_too_large", "more stdin than was credited")
        self._stdin.put_nowait(data[1:])

    async def _control(self, running: RunningExec, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "stdin_eof":
            self._stdin.put_nowait(None)
        elif kind == "resize":
            await running.process.resize(_number(message, "rows"), _number(message, "cols"))
        elif kind == "signal":
            await running.process.signal(_number(message, "signal"))
        elif kind == "detach":
            raise Detached
        else:
            raise Error("bad_request", f"unknown message type {kind!r}")

    async def _feed(self, running: RunningExec) -> None:
        while True:
            data = await self._stdin.get()
            if data is None:
                running.process.close_stdin()
                return
            await running.process.write(data)
            self._stdin_held -= len(data)
            self._consumed += len(data)
            if self._consumed - self._credited >= _CREDIT_STEP_BYTES or not self._stdin_held:
                self._credited = self._consumed
                await self.send("credit", consumed=self._consumed)


def _number(message: dict[str, Any], name: str) -> int:
    value = message.get(name)
    if not isinstance(value, int) or not 0 <= value <= 65535:
        raise Error("bad_request", f"{name} must be a number from 0 to 65535")
    return value


async def handle_exec(parts: Parts, socket: WebSocket) -> None:
    """A command in a running machine. A broken connection hangs it up."""
    await socket.accept()
    stream = Stream(socket)
    async with _reporting(stream):
        request: ExecRequest = await stream.receive_request(ExecRequest)
        live = parts.live_of(parts.registry.find(socket.path_params["name"]))
        running = await live.start_exec(request.command, stream.show)
        await stream.send("started", exec=running.info.id, pid=running.info.pid)
        await _follow(stream, live, running, hang_up=True)
        await stream.send("exit", **_exit_fields(running), timings_ms={})


async def handle_attach(parts: Parts, socket: WebSocket) -> None:
    """The main command of a running machine, from now on."""
    await socket.accept()
    stream = Stream(socket)
    async with _reporting(stream):
        await stream.receive_request(dict[str, Any])
        live = parts.live_of(parts.registry.find(socket.path_params["name"]))
        if live.main is None:
            raise Error(
                "bad_state",
                f"machine {live.machine.name!r} has no main command to attach to",
                f"banger vm exec -it {live.machine.name}",
            )
        live.main.watch(stream.show)
        await stream.send("started", exec=live.main.info.id, pid=live.main.info.pid)
        await _follow(stream, live, live.main, hang_up=False)
        await live.ended.wait()
        await stream.send("exit", **_exit_fields(live.main), timings_ms={})


async def _follow(stream: Stream, live: LiveMachine, running: RunningExec, *, hang_up: bool) -> None:
    try:
        await stream.serve(running)
    except Detached:
        running.watch(None)
        await stream.send("detached", machine=live.machine.name)
        raise
    except ClientGone:
        running.watch(None)
        if hang_up:
            with contextlib.suppress(Error):
                await running.process.signal(signal.SIGHUP)
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
        machine = lifecycle.create(parts, request.spec)
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

    async def work(report: Report) -> str:
        await lifecycle.start(parts, machine, report, viewer)
        return machine.name

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
        await _follow(stream, live, main, hang_up=False)
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
