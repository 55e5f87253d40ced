"""What changes in a directory of a machine (for asyncio)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from banger.client import calls, results
from banger.client.aio_methods import Carrier, begin
from banger.client.aio_process import AsyncProcess
from banger.client.file_events import EventReader

if TYPE_CHECKING:
    from banger.client.file_events import FileEvent


class AsyncWatch:
    """Iterate over it for the changes, as they happen, from the moment on at which `files.watch` returned it.

    Use it in an `async with`, or `close` it: until then a program of the agent watches, and an idle machine is not
    paused. The iteration ends by itself when the directory is deleted or moved. One task or thread uses it at a time.
    """

    def __init__(self, process: AsyncProcess, path: str) -> None:
        self._process = process
        self._reader = EventReader(path)

    async def __aenter__(self) -> AsyncWatch:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Watch no more."""
        self._process.close()

    async def begun(self) -> AsyncWatch:
        """Wait until the directory is watched. Raises `file_not_found`."""
        try:
            while not self._reader.is_ready and await self._hear():
                pass
        except BaseException:
            self.close()
            raise
        return self

    def __aiter__(self) -> AsyncWatch:
        return self

    async def __anext__(self) -> FileEvent:
        """The next change, as it happens."""
        while not self._reader.events:
            if not await self._hear():
                raise StopAsyncIteration
        return self._reader.events.popleft()

    async def _hear(self) -> bool:
        """Wait for some output of the program; False at its end. Raises why it failed."""
        async for said in self._process:
            self._reader.add(said)
            return True
        self._reader.check_end(self._process.exit_code)
        return False


async def watch(client: Carrier, machine_id: str, path: str, recursive: bool) -> AsyncWatch:
    """Begin to watch an absolute path."""
    words = ["--recursive", "--", path] if recursive else ["--", path]
    target = calls.machines_applet_target(machine_id)
    process = AsyncProcess(await begin(client, target, results.encode_applet("watch", words)))
    return await AsyncWatch(await process.begun(), path).begun()
