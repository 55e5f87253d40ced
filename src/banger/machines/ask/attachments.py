"""A client's attachment to a command: what the client sends and what the client receives, whatever the transport.

The front end makes no decision: it passes on what its client sends (`write`, `resize`, `detach`...), shows the messages
of `said`, and calls `leave` when its client is gone. A task of the attachment runs the command's side. A message waits
until the front end has taken it, so a slow client slows its command, and no queue grows without limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from banger.agent.dialing import GuestConnection
from banger.agent.process import Output
from banger.errors import Error
from banger.machines.ask.execs import RunningExec
from banger.model.asked import bug
from banger.model.command import Exit
from banger.model.machine import Machine
from banger.model.network import Denial
from banger.model.operation import Progress

log = logging.getLogger("banger.attachments")

STDIN_LIMIT_BYTES = 1024 * 1024
_CREDIT_STEP_BYTES = 128 * 1024
_PIECE_BYTES = 64 * 1024
_SAID_MAX = 4
_REFUSALS_MAX = 8
_SIGNALS_MAX = 64

T = TypeVar("T")


@dataclass(frozen=True)
class MachineMade:
    """The machine of a run was made."""

    machine: Machine


@dataclass(frozen=True)
class Started:
    """The command runs: its number and its pid in the guest."""

    exec: int
    pid: int


@dataclass(frozen=True)
class OutputEnded:
    """The service at the other end of a tunnel has said all; the client may go on."""


@dataclass(frozen=True)
class Consumed:
    """The command has taken this many bytes of stdin since the beginning; the client may send up to 1 MiB beyond
    them."""

    total_bytes: int


@dataclass(frozen=True)
class Refused:
    """Something that the client sent did not reach the command; the attachment continues."""

    error: Error


@dataclass(frozen=True)
class Exited:
    """The command has ended. `timings_ms`: the phases of a run; empty for other commands. `denials`: what the machine
    of a run tried to reach and was not allowed to."""

    exit: Exit
    timings_ms: dict[str, float]
    denials: tuple[Denial, ...] = ()


@dataclass(frozen=True)
class Detached:
    """The client left on purpose; what runs in `machine` continues."""

    machine: str


@dataclass(frozen=True)
class Failed:
    """The attachment ended with an error."""

    error: Error


Last = Exited | Detached | Failed
Said = MachineMade | Progress | Started | Output | OutputEnded | Consumed | Refused | Last


class Left(Exception):
    """The client is gone, or broke the rules of the protocol."""

    def __init__(self, error: Error | None = None) -> None:
        super().__init__()
        self.error = error


class Parted(Left):
    """The client left on purpose."""


class TakesInput(Protocol):
    """What the client's stdin goes to."""

    async def write(self, data: bytes) -> None: ...

    def close_stdin(self) -> None: ...


class Attachment:
    """Exists from the verb that made it until its task has ended and `said` has given all messages. Used from the event
    loop."""

    def __init__(self, life: Callable[[Attachment], Awaitable[Last]]) -> None:
        self._said: deque[Said] = deque()
        self._arrived, self._taken = asyncio.Event(), asyncio.Event()
        self._left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left.add_done_callback(lambda left: left.exception())  # perhaps no task awaits it
        self._stdin, self._stdin_ends = bytearray(), False
        self._stdin_grew = asyncio.Event()
        self._stdin_held_bytes = self._consumed_bytes = self._credited_bytes = 0
        self._signals: deque[int] = deque()
        self._size: tuple[int, int] | None = None
        self._ordered = asyncio.Event()
        self._life = asyncio.create_task(self._live(life), name="attachment")
        self._life.add_done_callback(lambda _: self._arrived.set())

    # Messages to the client.

    async def said(self) -> AsyncIterator[Said]:
        """All messages in order; the last is a `Last`, unless the client is gone."""
        while True:
            while self._said:
                yield self._said.popleft()
                self._taken.set()
            if self._life.done():
                return
            self._arrived.clear()
            await self._arrived.wait()

    # Messages from the client. These methods do not wait.

    def write(self, data: bytes) -> None:
        """Send data to stdin, unless stdin was closed. Raises `payload_too_large` for more than the client has credit
        for."""
        if self._stdin_ends:
            return
        self._stdin_held_bytes += len(data)
        if self._stdin_held_bytes > STDIN_LIMIT_BYTES:
            raise Error("payload_too_large", "more data for stdin than the credit allows")
        self._stdin += data
        self._stdin_grew.set()

    def close_stdin(self) -> None:
        self._stdin_ends = True
        self._stdin_grew.set()

    def resize(self, rows: int, cols: int) -> None:
        """Set the terminal's size. If several sizes wait, only the last has an effect."""
        self._size = (rows, cols)
        self._ordered.set()

    def signal(self, number: int) -> None:
        """Send a signal to the command's process, after the signals that wait. If too many wait, the signal is
        refused."""
        if len(self._signals) >= _SIGNALS_MAX:
            message = f"cannot send signal {number}: the command has not taken the signals before it"
            self.refuse(Error("bad_state", message, "kill the machine with banger vm kill"))
            return
        self._signals.append(number)
        self._ordered.set()

    def refuse(self, error: Error) -> None:
        """Tell the client that something it sent has no effect, and continue. A client that does not read its messages
        misses this one."""
        refusals = sum(isinstance(one, Refused) for one in self._said)
        if refusals < _REFUSALS_MAX and not self._left.done() and not self._life.done():
            self._said.append(Refused(error))
            self._arrived.set()

    def detach(self) -> None:
        """Leave on purpose: what runs continues."""
        self._leave(Parted())

    def leave(self, error: Error | None = None) -> None:
        """The client is gone, or must go because of `error`."""
        self._leave(Left(error))

    async def aclose(self) -> None:
        """Leave, and wait until the attachment's task has ended."""
        self.leave()
        await asyncio.wait([self._life])

    def _leave(self, why: Left) -> None:
        if not self._left.done():
            self._left.set_exception(why)

    # For the attachment's task.

    async def say(self, one: Said) -> None:
        """Send a message; waits until there is space. Raises `Left` if the client is gone."""
        while len(self._said) >= _SAID_MAX:
            self._taken.clear()
            await self.unless_left(self._taken.wait())
        if self._left.done():
            self._left.result()
        self._said.append(one)
        self._arrived.set()

    async def show(self, output: Output) -> None:
        """Send output of the command: the viewer of a `RunningExec`."""
        await self.say(output)

    def expect_client(self) -> None:
        """Raises `Left` if the client is gone, but not if the client left on purpose: then its request is still carried
        out."""
        if self._left.done() and not isinstance(self._left.exception(), Parted):
            self._left.result()

    async def unless_left(self, work: Awaitable[T]) -> T:
        """The result of `work`. If the client leaves first, cancels `work` and raises `Left`."""
        task: asyncio.Future[Any] = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        if task.cancelled() and self._left.done():
            self._left.result()
        return cast("T", task.result())

    async def follow(
        self, running: RunningExec, obey: Callable[[int | tuple[int, int]], Awaitable[None]]
    ) -> None:
        """Pass stdin to a command, and signals (numbers) and sizes (rows, columns) to `obey`, until the command has
        ended. Raises `Left`, `Parted`, and the error that ended the command's connection."""
        others = [asyncio.create_task(work) for work in (self._feed(running), self._carry_out(running, obey))]
        try:
            waiting: list[asyncio.Future[Any]] = [running.done, running.overdue, self._left]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not running.done.done():
                (running.overdue if running.overdue.done() else self._left).result()
            running.done.result()
        finally:
            await _end(others)

    async def converse(self, guest: GuestConnection) -> Exit:
        """Pass bytes between the client and a service of the guest until both directions have ended. Raises `Left`, and
        the error that ended the agent's connection."""
        feeding = asyncio.create_task(self._feed(guest))
        try:
            return await self.unless_left(self._hear_out(guest))
        finally:
            await _end([feeding])

    async def _hear_out(self, guest: GuestConnection) -> Exit:
        async for output in guest.outputs():
            await self.say(output)
        if not guest.broke_off:
            await self.say(OutputEnded())
        return await guest.ended()

    async def _feed(self, running: TakesInput) -> None:
        while self._stdin or not self._stdin_ends:
            if not self._stdin:
                self._stdin_grew.clear()
                await self._stdin_grew.wait()
                continue
            piece = bytes(self._stdin[:_PIECE_BYTES])
            del self._stdin[:_PIECE_BYTES]
            await running.write(piece)
            await self._credit(len(piece))
        running.close_stdin()

    async def _credit(self, consumed_bytes: int) -> None:
        self._stdin_held_bytes -= consumed_bytes
        self._consumed_bytes += consumed_bytes
        uncredited_bytes = self._consumed_bytes - self._credited_bytes
        if uncredited_bytes >= _CREDIT_STEP_BYTES or not self._stdin_held_bytes:
            self._credited_bytes = self._consumed_bytes
            await self.say(Consumed(self._consumed_bytes))

    async def _carry_out(
        self, running: RunningExec, obey: Callable[[int | tuple[int, int]], Awaitable[None]]
    ) -> None:
        """Carry out signals and sizes one after the other. If the guest refuses one, or does not answer, the others are
        still carried out."""
        while True:
            await self._ordered.wait()
            order: int | tuple[int, int] | None
            if self._signals:
                order = self._signals.popleft()
            else:
                order, self._size = self._size, None
            if order is None:
                self._ordered.clear()
                continue
            try:
                await obey(order)
            except Error as exc:
                if running.info.running:  # after the end of the command, an error is of no interest
                    self.refuse(exc)

    async def _live(self, life: Callable[[Attachment], Awaitable[Last]]) -> None:
        try:
            self._said.append(await life(self))
        except Left as exc:
            if exc.error is None:
                self._said.clear()
            else:
                self._said.append(Failed(exc.error))
        except Error as exc:
            self._said.append(Failed(exc))
        except Exception as exc:
            log.exception("an attachment failed")
            self._said.append(Failed(bug(exc)))


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()
