"""Connections that begin in the machine and lead to the client: its remote forwards, and its agent."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable

import asyncssh
from asyncssh.stream import SSHUNIXStreamSession

from banger.errors import Error
from banger.model.shown import printable
from banger.ssh.arrival import Arrival
from banger.ssh.forwarding import carrying
from banger.ssh.guest import Guest
from banger.ssh.listener import Listener, Take

Ends = tuple["asyncssh.SSHReader[bytes]", "asyncssh.SSHWriter[bytes]"]


async def listen_at_port(
    connection: asyncssh.SSHServerConnection, guest: Guest, host: str, port: int
) -> Listener | bool:
    """A port of the machine for a client. False, and a line on stderr, if that cannot be."""
    listener: Listener | None = None

    async def open_channel(arrival: Arrival) -> Ends:
        bound = port or (listener.get_port() if listener else 0)
        return await connection.open_connection(host, bound, *arrival.peer)

    listener = await _listen(guest, _carrying_to(open_channel), "tcp", host, str(port))
    return listener or False


async def listen_at_path(
    connection: asyncssh.SSHServerConnection, guest: Guest, path: str
) -> Listener | bool:
    """A Unix socket of the machine for a client, or False as above."""

    async def open_channel(arrival: Arrival) -> Ends:
        return await connection.open_unix_connection(path)

    return await _listen(guest, _carrying_to(open_channel), "unix", path) or False


async def listen_for_agent(connection: asyncssh.SSHServerConnection, guest: Guest) -> Listener:
    """A Unix socket of the machine that leads to the client's agent. Raises `listen_failed`."""

    async def open_channel(arrival: Arrival) -> Ends:
        channel = connection.create_agent_channel()
        session = await channel.open(SSHUNIXStreamSession[bytes])
        assert isinstance(session, SSHUNIXStreamSession)
        return asyncssh.SSHReader(session, channel), asyncssh.SSHWriter(session, channel)

    return await guest.listen(_carrying_to(open_channel), "agent")


def _carrying_to(open_channel: Callable[[Arrival], Awaitable[Ends]]) -> Take:
    async def take(arrival: Arrival) -> None:
        try:
            reader, writer = await open_channel(arrival)
        except (OSError, asyncssh.Error):
            return  # the client has nothing there: it is told in the machine by a reset
        await carrying(arrival, [])(reader, writer)

    return take


async def _listen(guest: Guest, take: Take, *words: str) -> Listener | None:
    """The protocol has no words for a refusal, but our stderr is the client's terminal."""
    try:
        return await guest.listen(take, *words)
    except Error as exc:
        print(f"banger: cannot listen in the machine: {printable(exc.message)}", file=sys.stderr, flush=True)
        return None
