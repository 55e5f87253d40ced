"""A stream of the daemon with two tasks at it: one sends stdin, the other hears events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from banger.client.aio_stream import AsyncStream
from banger.client.messages import Event


class Leg:
    """Owns its stream, from its opening to `close`. What one side does not take is not read from the other."""

    def __init__(self, stream: AsyncStream) -> None:
        self._stream = stream
        self._heard = asyncio.Event()

    async def begun(self) -> list[Event]:
        """Wait until it has started, and return what it said meanwhile. Raises the error that the daemon reports."""
        events: list[Event] = []
        while not self._stream.started and not self._stream.finished:
            events += await self._stream.wait_long()
        return events

    async def events(self) -> AsyncIterator[Event]:
        """What the daemon says, to the end of the stream."""
        while not self._stream.finished:
            for event in await self.hear():
                yield event

    async def hear(self) -> list[Event]:
        """Wait for what the daemon says next."""
        heard = await self._stream.wait_long()
        self._heard.set()
        return heard

    async def feed(self, data: bytes) -> None:
        """Send stdin, and wait for room. Drops what comes after the end."""
        rest = memoryview(data)
        while rest and not self._stream.finished:
            if room := self._stream.stdin_room:
                self._stream.send_stdin(rest[:room])
                rest = rest[room:]
            else:
                self._heard.clear()
                await self._heard.wait()

    def end_input(self) -> None:
        if not self._stream.finished:
            self._stream.close_stdin()

    def signal(self, number: int) -> None:
        if not self._stream.finished:
            self._stream.signal(number)

    def resize(self, rows: int, cols: int) -> None:
        if not self._stream.finished:
            self._stream.resize(rows, cols)

    def detach(self) -> None:
        """Leave, and let what runs continue."""
        if not self._stream.finished:
            self._stream.detach()

    def close(self) -> None:
        self._stream.close()
