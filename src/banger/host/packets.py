"""Requests and answers in packets: a Unix socket of kind SOCK_SEQPACKET, one packet a request, one packet its answer,
with descriptors beside the text. So the daemon talks with programs of its own that outlive it.

An answer is `ok TEXT` or `error CODE TEXT`; the text may have several lines.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from banger.host import own_sockets
from banger.host.own_sockets import check_peer, short_address

_PACKET_BYTES = 256 * 1024
_DESCRIPTORS_MAX = 64
_ANSWER_S = 10.0
_BACKLOG = 64


class Answer(NamedTuple):
    """`text` is what follows "ok "; the receiver closes the `descriptors`."""

    text: str
    descriptors: tuple[int, ...] = ()


class Refused(Exception):
    """The other side answered with an error. `code` is its first word, `message` the rest."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message


class Unknown(Refused):
    """The other side does not know what the request names."""


class PacketConnection:
    """A connection from `connect` until `close`; used from the event loop. Requests wait for each other."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path) -> Self:
        """Raises OSError, also when another user listens there."""
        return cls(await own_sockets.dial(path, socket.SOCK_SEQPACKET))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def peer_pid(self) -> int:
        """The process that began to listen at the other end."""
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(credentials[:4], "little")

    async def ask(
        self, request: str, descriptors: Sequence[int] = (), timeout_s: float = _ANSWER_S
    ) -> Answer:
        """Send a request, return its answer. Raises `Refused`; OSError if the connection has ended, and TimeoutError;
        after both the connection is closed, because a late answer would be taken for that of the next request."""
        async with self._turn:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._send(request.encode(), descriptors)
                    text, received = await self._receive()
            except BaseException:
                self.close()
                raise
        try:
            return Answer(read_answer(text), received)
        except Refused:
            close_all(received)
            raise

    async def next(self) -> tuple[str, tuple[int, ...]]:
        """The next packet that the other side sends by itself, and descriptors, which the receiver closes. Raises
        OSError when the connection has ended."""
        return await self._receive()

    async def _send(self, data: bytes, descriptors: Sequence[int]) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        while True:
            try:
                self._socket.sendmsg([data], ancillary if descriptors else [])
                return
            except BlockingIOError:
                await self._ready(writing=True)

    async def _receive(self) -> tuple[str, tuple[int, ...]]:
        while True:
            try:
                data, descriptors, flags, _ = socket.recv_fds(self._socket, _PACKET_BYTES, _DESCRIPTORS_MAX)
            except BlockingIOError:
                await self._ready(writing=False)
                continue
            for fd in descriptors:
                os.set_inheritable(fd, False)
            if not data or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                close_all(descriptors)
                raise ConnectionResetError("the other side ended" if not data else "a packet is too long")
            return data.decode("utf-8", "replace"), tuple(descriptors)

    async def _ready(self, *, writing: bool) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        fd = self._socket.fileno()
        add, remove = (
            (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
        )

        def note() -> None:
            if not ready.done():
                ready.set_result(None)

        add(fd, note)
        try:
            await ready
        finally:
            remove(fd)

    def close(self) -> None:
        self._socket.close()


def ask_once(path: Path, request: str, timeout_s: float = _ANSWER_S) -> str:
    """As `PacketConnection.ask`, over a connection of its own and without descriptors. Blocking."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(timeout_s)
        with short_address(path) as address:
            connection.connect(address)
        check_peer(connection)
        connection.send(request.encode())
        return read_answer(connection.recv(_PACKET_BYTES).decode("utf-8", "replace"))


def read_answer(packet: str) -> str:
    """The text of an answer, after "ok". Raises `Refused`."""
    verdict, *rest = packet.split(None, 1) or [""]
    text = rest[0] if rest else ""
    if verdict == "ok":
        return text
    code, _, message = text.partition(" ")
    raise (Unknown if code == "unknown" else Refused)(code or "invalid", message)


def lines_of(text: str) -> Iterator[list[str]]:
    """The lines of an answer, as words."""
    return (words for line in text.splitlines() if (words := line.split()))


def close_all(descriptors: Sequence[int]) -> None:
    for fd in descriptors:
        with contextlib.suppress(OSError):
            os.close(fd)


def listen(path: Path) -> socket.socket:
    """A new listening socket at `path` for packets, in place of an old one. Raises OSError."""
    return own_sockets.listen(path, _BACKLOG, socket.SOCK_SEQPACKET)
