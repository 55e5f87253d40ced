"""Everybody who can wait for a guest, at once; what must hold of them whatever the guest sends."""

from __future__ import annotations

import asyncio
from typing import Any

from banger.agent.connection import AgentConnection
from banger.agent.guest_clock import read_clock_off_s
from banger.agent.guest_stats import read_guest_stats
from banger.agent.process import GuestProcess, read_execs
from banger.errors import Error
from banger.machines.ask.inspect import _read_health, read_ports
from banger.wire.constants import MAX_DATA, WINDOW, Type
from banger.wire.fields import Fields

READ, UNREAD = 1, 3  # channels of two processes
ASKED = {2: Type.EXECS, 4: Type.STATS, 6: Type.PORTS, 8: Type.HEALTH, 10: Type.PING}


def read_health(answer: Fields) -> object:
    """As the daemon does, which asked and heard the answer at the clock's zero."""
    return _read_health(answer, read_clock_off_s(answer, 0, 0))


_READERS: dict[Type, Any] = {
    Type.EXECS: read_execs,
    Type.STATS: read_guest_stats,
    Type.PORTS: read_ports,
    Type.HEALTH: read_health,
    Type.PING: dict,
}


class Waiters:
    """Requests on even channels, one process whose output is read, one whose is not, and one who writes."""

    def __init__(self, connection: AgentConnection) -> None:
        self.connection = connection
        self.read = GuestProcess(connection, READ)
        self.unread = GuestProcess(connection, UNREAD)
        self.tasks = [asyncio.create_task(self._ask(channel)) for channel in ASKED]
        self.tasks += [asyncio.create_task(self._collect()), asyncio.create_task(self._write())]

    async def _ask(self, channel: int) -> None:
        verb = ASKED[channel]
        _READERS[verb](await self.connection.request_on(channel, verb, (), 60))

    async def _collect(self) -> None:
        async for output in self.read.outputs():
            assert 0 < len(output.data) <= MAX_DATA

    async def _write(self) -> None:
        await self.unread.write(bytes(2 * WINDOW))

    def check_bounds(self) -> None:
        """What is held for those who do not read."""
        for process in (self.read, self.unread):
            assert len(process._pending) <= 4100
            assert sum(len(output.data) for output in process._pending) <= 2 * (WINDOW + MAX_DATA)
        assert len(self.connection._channels) <= 2
        assert len(self.connection._answers) <= len(ASKED)
        assert len(self.connection._reader._buffer) <= 3 * WINDOW

    async def end(self) -> None:
        """The connection ends, and so does everybody's wait; what they hear is an `Error` or nothing."""
        self.connection.connection_lost(None)
        async with asyncio.timeout(5):
            results = await asyncio.gather(*self.tasks, return_exceptions=True)
        for result in results:
            if result is not None and not isinstance(result, Error):
                raise result
