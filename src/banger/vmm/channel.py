"""The agent's byte stream, opened on the host's side: through a port of a virtual serial device, or through vsock."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from banger.host import own_sockets

# "OK" and the number of a port, with some room.
_ANSWER_MAX = 64


async def dial_port(path: Path) -> socket.socket:
    """Connect to the socket of a serial port; the guest reads what is written there. Raises OSError."""
    return await own_sockets.dial(path)


async def dial_vsock(path: Path, port: int) -> socket.socket:
    """Connect to a guest's vsock port through the VMM's socket: one line of text asks for the port, one line answers,
    and then the connection is the guest's stream. Reads no byte of that stream. Raises OSError; ConnectionRefusedError
    if no process in the guest listens. Waits without limit. The VMM has made the socket, and may put a link there."""
    connection = await own_sockets.dial(path, follow=False)
    try:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, b"CONNECT %d\n" % port)
        answer = await _read_line(connection)
        if not answer.startswith(b"OK "):
            raise ConnectionRefusedError(f"the VMM does not connect to port {port}")
    except BaseException:
        connection.close()
        raise
    return connection


async def _read_line(connection: socket.socket) -> bytes:
    """Reads single bytes: what follows the line belongs to the caller."""
    loop = asyncio.get_running_loop()
    line = b""
    while not line.endswith(b"\n"):
        byte = await loop.sock_recv(connection, 1)
        if not byte or len(line) == _ANSWER_MAX:
            raise ConnectionRefusedError("the VMM gives no answer")
        line += byte
    return line
