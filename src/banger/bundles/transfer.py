"""Bundles between the event loop and threads: what the server sends and receives.

A cancelled call waits for its thread first, so that no thread is left that writes to files.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterator
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

from banger.errors import Error
from banger.host.thread import in_stoppable_thread, wait_out
from banger.model.sizes import KIB

T = TypeVar("T")

_SEND_BYTES = 256 * KIB  # zeros alone: some seconds of work
_CHUNKS_AHEAD = 16


async def send(pieces: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
    """The pieces of a packer, in chunks of at least 256 KiB. Between two chunks no thread runs. Raises the errors of
    the packer."""
    with contextlib.closing(pieces):
        while chunk := await in_stoppable_thread(lambda stop: _gather(pieces, stop)):
            yield chunk


async def receive(chunks: AsyncIterable[bytes], work: Callable[[Iterator[bytes], Event], T]) -> T:
    """What `work` returns, which runs in a thread and takes the chunks. Stops at its first error, and then does not
    read the rest. Raises the errors of `work` and of `chunks`."""
    upload = _Upload()
    working = asyncio.ensure_future(in_stoppable_thread(lambda stop: work(upload.chunks(), stop)))
    working.add_done_callback(lambda _: upload.make_room())
    try:
        async for chunk in chunks:
            await upload.put(chunk)
            if working.done():
                break
        upload.end()
        return await working
    finally:
        upload.abort()
        working.cancel()
        await wait_out(working)


class _Upload:
    """Chunks on their way from the event loop to the thread, a few at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._room = asyncio.Semaphore(_CHUNKS_AHEAD)
        self._aborted = False

    async def put(self, chunk: bytes) -> None:
        await self._room.acquire()
        self._queue.put(chunk)

    def make_room(self) -> None:
        self._room.release()

    def end(self) -> None:
        self._queue.put(None)

    def abort(self) -> None:
        self._aborted = True
        self.end()

    def chunks(self) -> Iterator[bytes]:
        """The chunks, for the thread to iterate. Raises `cancelled` after `abort`."""
        while (chunk := self._queue.get()) is not None and not self._aborted:
            self._loop.call_soon_threadsafe(self.make_room)
            yield chunk
        if self._aborted:
            raise Error("cancelled", "the upload has ended")


def _gather(pieces: Iterator[bytes], stop: Event) -> bytes:
    """The next pieces, joined; empty only at the end of the bundle."""
    gathered: list[bytes] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= _SEND_BYTES or stop.is_set():
            break
    return b"".join(gathered)
