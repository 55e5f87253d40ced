"""A socket in the guest that listens for a client of this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import asyncssh

from banger.client.messages import STDOUT, Event, Exited, Output
from banger.errors import Error
from banger.ssh.arrival import Arrival
from banger.ssh.leg import Leg
from banger.ssh.listener_messages import CONNECTIONS_MAX, Kind, Message, MessageReader, refuse

Take = Callable[[Arrival], Coroutine[Any, Any, None]]
_COMPLAINT_BYTES = 1000
_WAITING_MAX = 4
# Of messages without contents, for a guest that does not read.
_POSTED_MAX = 4096


class Listener(asyncssh.SSHListener):
    """Lives until `end`, or until the guest ends it. Each connection is taken in a task of its own; `close` lets open
    connections go on, as servers of SSH do."""

    def __init__(self, leg: Leg, take: Take) -> None:
        super().__init__()
        self.ready = ""
        """The port, or the path of the Unix socket."""
        self._leg, self._take = leg, take
        self._reader = MessageReader()
        self._arrivals: dict[int, Arrival] = {}
        self._latest = 0
        self._outgoing: deque[Message] = deque()
        self._wanted, self._room = asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.closed = False

    async def begin(self, events: list[Event]) -> None:
        """Wait until it listens. Raises `listen_failed`."""
        complaint = b""
        while not self.ready:
            for event in events:
                if isinstance(event, Output) and event.channel == STDOUT:
                    self._hear_bytes(event.data)
                elif isinstance(event, Output):
                    complaint = (complaint + event.data)[:_COMPLAINT_BYTES]
                elif isinstance(event, Exited):
                    said = complaint.decode("utf-8", "replace").strip()
                    raise Error("listen_failed", said or "nothing listens in the machine")
            if not self.ready:
                events = await self._leg.hear()
        self._start(self._run())

    def get_port(self) -> int:
        return parse_port(self.ready)

    def close(self) -> None:
        """Listen no more."""
        if not self.closed:
            self.closed = True
            self._post(Message(Kind.STOP, 0))

    def end(self) -> None:
        """End it, and all connections."""
        self.closed = True
        self._leg.close()
        for task in self._tasks:
            task.cancel()

    async def _run(self) -> None:
        writing = asyncio.create_task(self._write())
        try:
            async for event in self._leg.events():
                if isinstance(event, Output) and event.channel == STDOUT:
                    self._hear_bytes(event.data)
        except (Error, OSError):
            pass  # the machine is gone, or it is not the agent that speaks
        finally:
            writing.cancel()
            self.closed = True
            self._leg.close()
            for arrival in list(self._arrivals.values()):
                arrival.break_off()

    def _hear_bytes(self, data: memoryview) -> None:
        for message in self._reader.feed(data):
            self._hear(message)

    def _hear(self, message: Message) -> None:
        if (message.kind is Kind.READY) == bool(self.ready):
            raise refuse(f"{message.kind.name} at the wrong time")
        if message.kind is Kind.READY:
            self.ready = message.data.replace(b"\0", b"?").decode("utf-8", "surrogateescape")
        elif message.kind is Kind.OPENED:
            self._welcome(message)
        elif message.number > self._latest:
            raise refuse("something of a connection that no program made")
        elif (arrival := self._arrivals.get(message.number)) is not None:
            arrival.hear(message)
            self._forget(arrival)

    def _welcome(self, message: Message) -> None:
        if message.number <= self._latest or len(self._arrivals) >= CONNECTIONS_MAX:
            raise refuse("a connection that cannot be")
        self._latest = message.number
        arrival = Arrival(message.number, parse_peer(message.data), self._post, self._send)
        self._arrivals[message.number] = arrival
        self._start(self._see_through(arrival))

    async def _see_through(self, arrival: Arrival) -> None:
        try:
            await self._take(arrival)
        finally:
            arrival.close()
            self._forget(arrival)

    def _forget(self, arrival: Arrival) -> None:
        """Its number has no meaning any more."""
        if arrival.finished:
            self._arrivals.pop(arrival.number, None)

    def _post(self, message: Message) -> None:
        if len(self._outgoing) >= _POSTED_MAX:
            self._leg.close()  # `_run` hears of it
            return
        self._outgoing.append(message)
        self._wanted.set()

    async def _send(self, message: Message) -> None:
        while len(self._outgoing) >= _WAITING_MAX:
            self._room.clear()
            await self._room.wait()
        self._post(message)

    async def _write(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                while self._outgoing:
                    await self._leg.feed(self._outgoing.popleft().encode())
                    self._room.set()
                self._wanted.clear()
                await self._wanted.wait()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def parse_peer(data: bytes) -> tuple[str, int]:
    """Who connected: an address and a port, or nothing for a Unix socket. The guest says so; nothing relies on it."""
    host, _, port = data.decode("ascii", "replace").partition(" ")
    return (host, parse_port(port)) if parse_port(port) else ("", 0)


def parse_port(text: str) -> int:
    """0 for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and int(text) < 1 << 16 else 0
