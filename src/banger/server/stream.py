"""One client's stream (docs/api.md, "Streams") over a WebSocket: its messages, its stdin, its leaving."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from banger.agent.process import Output
from banger.errors import Error
from banger.machines.execs import RunningExec
from banger.server.calls import decode

log = logging.getLogger("banger.streams")

STDIN_LIMIT_BYTES = 1024 * 1024
_CREDIT_STEP_BYTES = 128 * 1024
_ORDERS_MAX = 64


class Resize(NamedTuple):
    """The client's terminal has another size."""

    rows: int
    cols: int


class Signal(NamedTuple):
    """The client wants the command to have a signal."""

    number: int


Order = Resize | Signal


class Detached(Exception):
    """The client left on purpose; what runs goes on."""


class ClientGone(Exception):
    """The client's connection broke."""


class Stream:
    """One client's stream, from its first message to its close."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._stdin: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._orders: asyncio.Queue[Order] = asyncio.Queue(_ORDERS_MAX)
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

    async def serve(self, running: RunningExec, obey: Callable[[Order], Awaitable[None]]) -> None:
        """Carry the client's input to a command, and its orders to `obey`, until the command has ended. Raises
        `Detached`, `ClientGone`, and the error that ended the command's connection."""
        done = running.done  # never cancelled by us: others wait for it too
        reader = asyncio.create_task(self._read())
        others = [asyncio.create_task(work) for work in (self._feed(running), self._carry_out(obey))]
        try:
            waiting: list[asyncio.Future[Any]] = [done, reader]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                reader.result()  # raises why the client is no longer there
            done.result()
        finally:
            for task in (reader, *others):
                task.cancel()
            await asyncio.wait([reader, *others])
            for task in (reader, *others):
                if not task.cancelled():
                    task.exception()

    async def _read(self) -> None:
        """The client's messages, which are queued: data (bounded by credit), and orders (bounded by number)."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise ClientGone
            data = message.get("bytes")
            if data is not None:
                self._take_stdin(data)
            else:
                await self._control(decode(message.get("text") or "", dict[str, Any]))

    def _take_stdin(self, data: bytes) -> None:
        if not data or data[0] != 0:
            raise Error("bad_request", "a client may only send channel 0, stdin")
        self._stdin_held += len(data) - 1
        if self._stdin_held > STDIN_LIMIT_BYTES:
            raise Error("payload_too_large", "more stdin than was credited")
        self._stdin.put_nowait(data[1:])

    async def _control(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "stdin_eof":
            self._stdin.put_nowait(None)
        elif kind == "resize":
            await self._orders.put(Resize(_number(message, "rows"), _number(message, "cols")))
        elif kind == "signal":
            await self._orders.put(Signal(_number(message, "signal")))
        elif kind == "detach":
            raise Detached
        else:
            raise Error("bad_request", f"unknown message type {kind!r}")

    async def _carry_out(self, obey: Callable[[Order], Awaitable[None]]) -> None:
        """One after the other. What the guest refuses, or does not answer, ends nothing else."""
        while True:
            order = await self._orders.get()
            try:
                await obey(order)
            except Error as exc:
                log.info("%s: %s", order, exc.message)

    async def _feed(self, running: RunningExec) -> None:
        while True:
            data = await self._stdin.get()
            if data is None:
                running.close_stdin()
                return
            await running.write(data)
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
