"""An agent connection without a socket: for fuzzers, to whom a socket pair an input is too slow."""

from __future__ import annotations

import asyncio

from banger.agent.connection import AgentConnection
from banger.wire.constants import Type
from banger.wire.fields import Fields
from banger.wire.frames import FrameReader
from tests.support.sick import welcome


class DeafTransport(asyncio.Transport):
    """Takes everything, keeps what was sent first, remembers whether it is to read."""

    def __init__(self) -> None:
        super().__init__()
        self.first = b""
        self.reads = True
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.first = self.first or bytes(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def abort(self) -> None:
        self.aborted = True


async def open_in_memory() -> tuple[AgentConnection, DeafTransport]:
    """A connection that was greeted."""
    transport = DeafTransport()
    connection = AgentConnection("stranger")
    connection.connection_made(transport)
    greeting = asyncio.create_task(connection.hello(5, resync=True))
    await asyncio.sleep(0)
    (hello,) = FrameReader().feed(transport.first)
    assert hello.type == Type.HELLO
    connection.data_received(welcome(Fields(hello.payload).bytes_(4)))
    await greeting
    return connection, transport
