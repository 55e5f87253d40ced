"""Unix sockets below the daemon's own directories. Their paths may be longer than the 107 bytes of an address: the
socket is addressed from its directory, which is held open. Only sockets on which this user or root listens are trusted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from banger.host.vm_users import is_ours


def listen(path: Path, backlog: int = 4, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A new listening socket at `path`, only for this user, in place of an old one. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC)
    try:
        with short_address(path) as address:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address)
            listener.bind(address)
            os.chmod(address, 0o600)
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener


async def dial(path: Path | str, kind: int = socket.SOCK_STREAM, *, follow: bool = True) -> socket.socket:
    """A connection to the socket at `path`. Without `follow`, a link at `path` is an error: in a directory that a VMM
    writes to, it may lead anywhere. Raises OSError, also when another user listens there."""
    connection = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        with short_address(Path(path)) if follow else _address_of_itself(Path(path)) as address:
            await asyncio.get_running_loop().sock_connect(connection, address)
        check_peer(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def check_peer(connection: socket.socket) -> None:
    """Raises PermissionError unless this user, a VMM of this user, or root began to listen at the other end."""
    user = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
    if user != 0 and not is_ours(user):
        raise PermissionError(f"user {user} listens there")


@contextlib.contextmanager
def short_address(path: Path) -> Iterator[str]:
    """An address of the socket at `path` that is short enough, within the block."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


@contextlib.contextmanager
def _address_of_itself(path: Path) -> Iterator[str]:
    """An address of what is at `path` now, within the block. Of a link it is an address of the link: no socket."""
    file = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{file}"
    finally:
        os.close(file)
