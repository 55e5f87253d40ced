"""An agent connection over a real socket pair, whose other end is in the hands of a test."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from struct import pack

from banger.agent.connection import AgentConnection
from banger.wire.constants import Type
from banger.wire.fields import Fields
from banger.wire.frames import Frame, FrameReader, encode_frame
from tests.support.sick import welcome


class Stranger:
    """The guest's end: bytes in, frames out."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._reader = FrameReader()
        self._frames: list[Frame] = []

    async def send(self, data: bytes) -> None:
        """Returns when all is taken, or the host has hung up."""
        with contextlib.suppress(ConnectionError):
            await asyncio.get_running_loop().sock_sendall(self._end, data)

    def hang_up(self) -> None:
        self._end.close()

    async def receive(self, type_: int) -> Frame:
        """The next frame of a type; others that came before it are dropped."""
        while True:
            while self._frames:
                frame = self._frames.pop(0)
                if frame.type == type_:
                    return frame
            data = await asyncio.get_running_loop().sock_recv(self._end, 65536)
            assert data, "the host has hung up"
            self._frames += self._reader.feed(data)

    async def greet(self) -> None:
        hello = await self.receive(Type.HELLO)
        await self.send(welcome(Fields(hello.payload).bytes_(4)))

    async def answer(self, verb: Type, payload: bytes = b"") -> int:
        """Say OK to the next such request; its channel."""
        request = await self.receive(verb)
        await self.send(encode_frame(Type.OK, request.channel, payload))
        return request.channel


def data_frame(channel: int, stream: int, offset: int, data: bytes) -> bytes:
    return encode_frame(Type.DATA, channel, pack("<Q", offset) + data, stream)


@contextlib.asynccontextmanager
async def open_pair(*, greeted: bool = True) -> AsyncIterator[tuple[AgentConnection, Stranger]]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: AgentConnection("stranger"), sock=ours)
    stranger = Stranger(theirs)
    try:
        if greeted:
            greeting = asyncio.create_task(stranger.greet())
            await connection.hello(5, resync=True)
            await greeting
        yield connection, stranger
    finally:
        connection.close()
        theirs.close()
        await asyncio.sleep(0)  # the transport closes its end
