"""A session of SSH: a shell, a command, or the transfer of files."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import asyncssh

from banger.client.messages import STDERR, Event, Exited, Output
from banger.errors import CommandMissing, Error
from banger.model.shown import printable
from banger.ssh.channel import Channel
from banger.ssh.guest import Guest, choose_variables
from banger.ssh.leg import Leg
from banger.ssh.listener import Listener

FAILED = 255
FILES = "sftp"
_HELD_BYTES = 1 << 20
_SIZE_MAX = 0xFFFF
_PARTING_S = 2.0
# RFC 4254 has names for these.
_NAMED = frozenset("ABRT ALRM FPE HUP ILL INT KILL PIPE QUIT SEGV TERM USR1 USR2".split())


class Session(asyncssh.SSHServerSession[bytes]):
    """Lives as long as its channel. What the client sends waits here until the machine takes it, and beyond a bound the
    client is not read."""

    def __init__(self, guest: Guest, open_agent: Callable[[], Awaitable[Listener]]) -> None:
        self._guest, self._open_agent = guest, open_agent
        self._agent: Listener | None = None
        self._held: deque[bytes] = deque()
        self._held_bytes, self._ends = 0, False
        self._arrived, self._writable, self._closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._writable.set()
        self._leg: Leg | None = None
        self._signals: list[int] = []
        self._task: asyncio.Task[None] | None = None

    # What the client does.

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        assert isinstance(chan, Channel)
        self._channel = chan

    def shell_requested(self) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == FILES

    def session_started(self) -> None:
        self._task = asyncio.create_task(self._serve())

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > _HELD_BYTES:
            self._channel.pause_reading()
        self._arrived.set()

    def eof_received(self) -> bool:
        self._ends = True
        self._arrived.set()
        return True

    def signal_received(self, signal_name: str) -> None:
        with contextlib.suppress(KeyError):
            number = signal.Signals[f"SIG{signal_name}"]
            if self._leg is None:
                self._signals.append(number)
            else:
                self._leg.signal(number)

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self._leg is not None:
            self._leg.resize(min(height, _SIZE_MAX), min(width, _SIZE_MAX))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._held.clear()
        self._ends = True
        self._closed.set()
        self._writable.set()
        self._arrived.set()

    # What the machine does.

    async def _serve(self) -> None:
        gone = asyncio.create_task(self._closed.wait())
        talk = asyncio.create_task(self._talk())
        try:
            await asyncio.wait({gone, talk}, return_when=asyncio.FIRST_COMPLETED)
            if not talk.done() and self._leg is not None and self._channel.get_terminal_type() is None:
                await self._part(self._leg, talk)
            if talk.done():
                talk.result()
        except Error as exc:
            self._refuse(exc)
        except (OSError, asyncssh.Error):
            pass  # the client is gone
        finally:
            await _end(gone, talk)
            if self._agent is not None:
                self._agent.end()

    async def _part(self, leg: Leg, talk: asyncio.Task[None]) -> None:
        """The client is gone, and there was no terminal to hang up: the command hears of it, and what it has started in
        the background does not. Servers of editors rely on that."""
        leg.signal(signal.SIGHUP)
        await asyncio.wait({talk}, timeout=_PARTING_S)
        leg.detach()

    @property
    def is_over(self) -> bool:
        return self._task is not None and self._task.done()

    async def over(self) -> None:
        """Wait until the command has heard of the end of the connection."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _talk(self) -> None:
        leg, events = await self._begin()
        self._leg = leg
        feeding = asyncio.create_task(self._feed(leg))
        try:
            for number in self._signals:
                leg.signal(number)
            for event in events:
                await self._show(event)
            async for event in leg.events():
                await self._show(event)
        finally:
            leg.close()
            await _end(feeding)

    async def _begin(self) -> tuple[Leg, list[Event]]:
        if self._channel.get_subsystem() == FILES:
            return await self._guest.serve_files()
        terminal_type, terminal = self._channel.get_terminal_type(), None
        if terminal_type is not None:
            cols, rows, _, _ = self._channel.get_terminal_size()
            terminal = (min(rows, _SIZE_MAX), min(cols, _SIZE_MAX))
        variables = choose_variables(dict(self._channel.get_environment_bytes()), terminal_type)
        if self._channel.wants_agent:
            variables.update(await self._bring_agent())
        return await self._guest.run(self._channel.get_command(), variables, terminal)

    async def _bring_agent(self) -> dict[bytes, bytes]:
        """The variable that leads to the client's agent; without one the session has no agent."""
        try:
            self._agent = await self._open_agent()
        except Error as exc:
            self._say(f"banger: no agent in the machine: {exc.message}")
            return {}
        return {b"SSH_AUTH_SOCK": self._agent.ready.encode("utf-8", "surrogateescape")}

    async def _feed(self, leg: Leg) -> None:
        while self._held or not self._ends:
            if not self._held:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            data = self._held.popleft()
            await leg.feed(data)
            self._held_bytes -= len(data)
            if self._held_bytes <= _HELD_BYTES // 2:
                self._channel.resume_reading()
        leg.end_input()

    async def _show(self, event: Event) -> None:
        if self._closed.is_set():
            return
        if isinstance(event, Output):
            await self._writable.wait()
            kind = asyncssh.EXTENDED_DATA_STDERR if event.channel == STDERR else None
            self._channel.write(bytes(event.data), kind)
        elif isinstance(event, Exited):
            name = _signal_name(event.signal)
            if name in _NAMED:
                self._channel.exit_with_signal(name)
            else:
                self._channel.exit(event.code)

    def _refuse(self, error: Error) -> None:
        """Say it as the command line does, with the exit code that a shell or ssh would have."""
        with contextlib.suppress(OSError, asyncssh.Error):
            self._say(f"banger: {error.message}")
            if error.hint:
                self._say(f"hint: {error.hint}")
            self._channel.exit(error.exit_code if isinstance(error, CommandMissing) else FAILED)

    def _say(self, line: str) -> None:
        self._channel.write_stderr(f"{printable(line)}\r\n".encode("utf-8", "replace"))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return ""


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # the first that failed has been told
