"""Connections of clients of this host to ports of a guest, through its agent. Bytes pass the daemon in both directions,
and each direction of each connection keeps a bounded number of them: a client that does not read slows only its own
connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterator

from banger.agent.dialing import GuestConnection, dial_port
from banger.errors import Error
from banger.machines.life.live import LiveMachine

# As many as an agent takes: a guest that takes more does not keep the protocol.
CONNECTIONS_MAX = 128
_PIECE_BYTES = 64 * 1024
_RESET = struct.pack("ii", 1, 0)
_IN_PEACE = struct.pack("ii", 0, 0)


@contextlib.asynccontextmanager
async def connected(live: LiveMachine, port: int) -> AsyncIterator[GuestConnection]:
    """A connection to a port of the guest, until the end of the block. Raises `too_many_connections`, `port_refused`
    and what else `dial_port` raises."""
    if live.connections >= CONNECTIONS_MAX:
        raise Error(
            "too_many_connections",
            f"{live.machine.name} has {CONNECTIONS_MAX} connections through its agent already",
            "let the service listen on an address of the machine, and publish its port: then there is no such limit",
        )
    live.connections += 1
    try:
        guest = await dial_port(live.agent(), port)
        try:
            yield guest
        finally:
            guest.close()
    finally:
        live.connections -= 1


@contextlib.contextmanager
def carried(client: socket.socket) -> Iterator[None]:
    """The client's end of a connection, closed at the end of the block. Only a block that ends well closes it in peace:
    otherwise, also if this process is killed, the client hears a reset."""
    with client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        yield
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _IN_PEACE)


async def carry(guest: GuestConnection, client: socket.socket) -> None:
    """Pass bytes in both directions until both have ended. Raises OSError if one side broke off, `agent_lost`."""
    both = [asyncio.create_task(work(guest, client)) for work in (_pass_in, _pass_out)]
    try:
        await asyncio.gather(*both)
    finally:
        for task in both:
            task.cancel()
        await asyncio.wait(both)


async def _pass_in(guest: GuestConnection, client: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(client, _PIECE_BYTES):
        await guest.write(data)
    guest.close_stdin()


async def _pass_out(guest: GuestConnection, client: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    async for output in guest.outputs():
        await loop.sock_sendall(client, output.data)
    if not guest.broke_off:
        client.shutdown(socket.SHUT_WR)
    if (await guest.ended()).code:
        raise ConnectionResetError("the service broke off")
