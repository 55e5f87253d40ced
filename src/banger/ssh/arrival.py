"""A connection that a program of the guest made to a listener there, as the host sees it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from banger.client.messages import STDOUT, Event, Exited, Output, OutputEnded
from banger.ssh.listener_messages import (
    CREDIT_STEP_BYTES,
    PIECE_BYTES,
    WINDOW_BYTES,
    Kind,
    Message,
    make_credit,
    refuse,
)

Post = Callable[[Message], None]
Send = Callable[[Message], Awaitable[None]]


class Arrival:
    """Lives until both sides have said all, or one side broke off. Has what a `Leg` has for the code that carries
    bytes. `post` sends a message some time, `send` waits until the stream has room for more."""

    def __init__(self, number: int, peer: tuple[str, int], post: Post, send: Send) -> None:
        self.number, self.peer = number, peer
        self._post, self._send = post, send
        self._said: deque[Event] = deque()
        self._stirred = asyncio.Event()
        self._untaken_bytes = self._taken_bytes = 0  # together: what the guest has no credit for
        self._credit = WINDOW_BYTES
        self._guest_ended = self._we_ended = False
        self.finished = False

    # What the guest says.

    def hear(self, message: Message) -> None:
        """Raises `agent_error` for what no listener says."""
        if message.kind is Kind.DATA:
            self._untaken_bytes += len(message.data)
            if self._guest_ended or self._untaken_bytes + self._taken_bytes > WINDOW_BYTES:
                raise refuse("more of a connection than it may")
            self._said.append(Output(STDOUT, memoryview(message.data)))
        elif message.kind is Kind.CREDIT:
            self._credit += message.credit
            if self._credit > WINDOW_BYTES:
                raise refuse("more credit than there is")
        elif message.kind is Kind.END:
            if self._guest_ended:
                raise refuse("two ends of a connection")
            self._guest_ended = True
            self._said.append(OutputEnded({}))
            self._finish_if_over()
        else:
            self.break_off()
        self._stirred.set()

    def break_off(self) -> None:
        """It is gone without an end."""
        if not self.finished:
            self.finished = True
            self._said.append(Exited({"code": 1}))
            self._stirred.set()

    def _finish_if_over(self) -> None:
        if self._guest_ended and self._we_ended and not self.finished:
            self.finished = True
            self._said.append(Exited({"code": 0}))
            self._stirred.set()

    # For the code that carries its bytes.

    async def events(self) -> AsyncIterator[Event]:
        """What is said, to the end of the connection."""
        while True:
            while self._said:
                event = self._said.popleft()
                yield event
                if isinstance(event, Exited):
                    return
                if isinstance(event, Output):
                    self._take(len(event.data))
            self._stirred.clear()
            await self._stirred.wait()

    def _take(self, count_bytes: int) -> None:
        self._untaken_bytes -= count_bytes
        self._taken_bytes += count_bytes
        if self._taken_bytes >= CREDIT_STEP_BYTES and not self.finished:
            self._post(make_credit(self.number, self._taken_bytes))
            self._taken_bytes = 0

    async def feed(self, data: bytes) -> None:
        """Send to the program that connected, and wait for room."""
        rest = memoryview(data)
        while rest and not self.finished:
            if not self._credit:
                self._stirred.clear()
                await self._stirred.wait()
                continue
            piece = rest[: min(self._credit, PIECE_BYTES)]
            rest = rest[len(piece) :]
            self._credit -= len(piece)
            await self._send(Message(Kind.DATA, self.number, bytes(piece)))

    def end_input(self) -> None:
        if not self.finished and not self._we_ended:
            self._we_ended = True
            self._post(Message(Kind.END, self.number))
            self._finish_if_over()

    def close(self) -> None:
        """The program that connected hears of a reset, unless both sides have ended."""
        if not self.finished:
            self._post(Message(Kind.BROKEN, self.number))
            self.break_off()
