"""Bundles between the event loop and threads: what the server sends and receives.

A cancelled call waits for its thread first, so that no thread is left that writes to files.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Event

from banger.errors import Error
from banger.host.thread import in_stoppable_thread, wait_out
from banger.model.sizes import KIB
from banger.model.template import Snapshot
from banger.templates.bundle import SealedManifest
from banger.templates.bundle_reader import FilesOf, Limits, unpack
from banger.templates.bundle_writer import describe, pack
from banger.vmm.frozen import FrozenFiles

_SEND_BYTES = 256 * KIB  # zeros alone: some seconds of work
_CHUNKS_AHEAD = 16


async def describe_bundle(directory: Path, snapshot: Snapshot, files: FrozenFiles) -> SealedManifest:
    """The manifest and digest of a bundle of the members in `directory`; reads them once. Raises `frozen_damaged`,
    `snapshot_invalid`."""
    return await in_stoppable_thread(lambda stop: describe(directory, snapshot, files, stop))


async def read_bundle_stream(directory: Path, sealed: SealedManifest) -> AsyncGenerator[bytes, None]:
    """The bundle, in chunks of at least 256 KiB. Between two chunks no thread runs. Raises `frozen_damaged` when a file
    cannot be read or its size differs from the manifest."""
    with contextlib.closing(pack(directory, sealed)) as pieces:
        while chunk := await in_stoppable_thread(lambda stop: _gather(pieces, stop)):
            yield chunk


async def unpack_bundle(
    chunks: AsyncIterable[bytes], directory: Path, limits: Limits, files_of: FilesOf
) -> SealedManifest:
    """Write the files of a bundle into `directory`, a private directory of the caller, who publishes or removes it.

    Raises `snapshot_invalid`, `insufficient_disk`, and what `chunks` and `files_of` raise. Stops at the first error and
    then does not read the rest of `chunks`."""
    upload = _Upload()
    unpacking = asyncio.ensure_future(
        in_stoppable_thread(lambda stop: unpack(upload.chunks(), directory, limits, files_of, stop))
    )
    unpacking.add_done_callback(lambda _: upload.make_room())
    try:
        async for chunk in chunks:
            await upload.put(chunk)
            if unpacking.done():
                break
        upload.end()
        return await unpacking
    finally:
        upload.abort()
        unpacking.cancel()
        await wait_out(unpacking)


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
