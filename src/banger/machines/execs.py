"""A command that runs in a machine: pumped to its log and to whoever watches it, until its exit is known."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from banger.agent.process import GuestProcess, Output
from banger.errors import Error
from banger.model.command import Exec, Exit

log = logging.getLogger("banger.exec")

LOG_LIMIT_BYTES = 16 * 1024 * 1024

Viewer = Callable[[Output], Awaitable[None]]


class ExecLog:
    """What the main command wrote, in order. At 16 MiB the file becomes `exec.log.1` and a new one begins."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = _open_append(path)
        self._size = os.fstat(self._fd).st_size

    def write(self, data: bytes) -> None:
        try:
            if self._size + len(data) > LOG_LIMIT_BYTES:
                self._rotate()
            self._size += os.write(self._fd, data)
        except OSError as exc:
            log.warning("%s: %s", self._path, exc)  # a full disk must not stop the command

    def _rotate(self) -> None:
        os.close(self._fd)
        os.replace(self._path, self._path.with_name(self._path.name + ".1"))
        self._fd = _open_append(self._path)
        self._size = 0

    def close(self) -> None:
        os.close(self._fd)


def _open_append(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


class RunningExec:
    """Owns the pump task of one guest process. `done` resolves to its exit, or to `agent_lost`."""

    def __init__(
        self,
        process: GuestProcess,
        info: Exec,
        *,
        viewer: Viewer | None = None,
        log_to: ExecLog | None = None,
    ) -> None:
        self.process = process
        self.info = info
        self._viewer = viewer
        self._log = log_to
        self.done: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.done.add_done_callback(_retrieve)
        self._pump_task = asyncio.create_task(self._pump(), name=f"exec {info.id}")

    def watch(self, viewer: Viewer | None) -> None:
        """From now on `viewer` sees the output; None: nobody does."""
        self._viewer = viewer

    async def _pump(self) -> None:
        try:
            async for output in self.process.outputs():
                if self._log is not None:
                    self._log.write(output.data)
                await self._show(output)
            assert self.process.exit is not None
            self._settle(self.process.exit)
            await self.process.forget()
        except Error as exc:
            self._fail(exc)
        finally:
            if self._log is not None:
                self._log.close()

    async def _show(self, output: Output) -> None:
        viewer = self._viewer
        if viewer is None:
            return
        try:
            await viewer(output)
        except Exception as exc:  # whatever a broken client causes, the command goes on
            log.debug("exec %d: its viewer left: %r", self.info.id, exc)
            if self._viewer is viewer:
                self._viewer = None

    def _settle(self, exit_: Exit) -> None:
        self.info.running = False
        self.info.exit = exit_
        if not self.done.done():
            self.done.set_result(exit_)

    def _fail(self, error: Error) -> None:
        self.info.running = False
        if not self.done.done():
            self.done.set_exception(error)


def _retrieve(future: asyncio.Future[Exit]) -> None:
    """Nobody may be waiting for it: that is no warning."""
    if not future.cancelled():
        future.exception()
