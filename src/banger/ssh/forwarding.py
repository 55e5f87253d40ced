"""Connections that a client forwards: to services of the machine, and from the machine to services of the client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import asyncssh

from banger.client.messages import Event, Exited, Output, OutputEnded
from banger.errors import Error


class Carries(Protocol):
    """A connection in the machine."""

    def events(self) -> AsyncIterator[Event]: ...

    async def feed(self, data: bytes) -> None: ...

    def end_input(self) -> None: ...

    def close(self) -> None: ...


Handler = Callable[["asyncssh.SSHReader[bytes]", "asyncssh.SSHWriter[bytes]"], Awaitable[None]]
_PIECE = 64 * 1024


def carrying(leg: Carries, events: list[Event]) -> Handler:
    """What carries a channel's bytes to a connection and back."""

    async def carry(reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes]) -> None:
        sending = asyncio.create_task(_send(leg, reader))
        try:
            for event in events:
                await _show(event, writer)
            async for event in leg.events():
                await _show(event, writer)
        except (Error, OSError, asyncssh.Error):
            pass  # one side is gone, and so the other goes
        finally:
            sending.cancel()
            leg.close()
            with contextlib.suppress(OSError, asyncssh.Error):
                writer.close()

    return carry


async def _show(event: Event, writer: asyncssh.SSHWriter[bytes]) -> None:
    if isinstance(event, Output):
        writer.write(bytes(event.data))
        await writer.drain()
    elif isinstance(event, OutputEnded) and writer.can_write_eof():
        writer.write_eof()
    elif isinstance(event, Exited) and event.code:
        writer.channel.abort()


async def _send(leg: Carries, reader: asyncssh.SSHReader[bytes]) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await reader.read(_PIECE):
            await leg.feed(data)
    leg.end_input()
