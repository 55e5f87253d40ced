"""The agent's byte stream, opened on the host's side: through a port of a virtual serial device, or through vsock."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from banger.host import own_sockets

# "OK" and the number of a port, with some room.
_ANSWER_MAX = 64


async def dial_port(path: Path) -> socket.socket:
    """The socket of a serial port: what is written there, the guest reads. Raises OSError."""
    return await own_sockets.dial(path)


async def dial_vsock(path: Path, port: int) -> socket.socket:
    """A guest's port, by the VMM's socket for all of its vsock: a line of text asks for the port and a line answers,
    then it is the guest's stream. Takes not a byte of that. Raises OSError, ConnectionRefusedError where nobody in the
    guest listens; waits as long as its caller does."""
    connection = await own_sockets.dial(path)
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
    """Byte by byte: what follows is not ours."""
    loop = asyncio.get_running_loop()
    line = b""
    while not line.endswith(b"\n"):
        byte = await loop.sock_recv(connection, 1)
        if not byte or len(line) == _ANSWER_MAX:
            raise ConnectionRefusedError("the VMM gives no answer")
        line += byte
    return line
