"""A command that runs in a machine: its output goes to its log and to its viewers until its exit is known."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from struct import Struct
from typing import Any

from banger.agent.process import GuestProcess, Output
from banger.errors import Error
from banger.host.foreign import open_to_write
from banger.host.fs import remove_tree
from banger.machines.ask.log_times import TimesWriter
from banger.model.asked import bug
from banger.model.command import Exec, Exit
from banger.wire.constants import STDOUT

log = logging.getLogger("banger.exec")

_POSITIONS = Struct("<QQ")
LOG_LIMIT_BYTES = 16 * 1024 * 1024
OTHERS_LIMIT_BYTES = 1024 * 1024
_FURTHEST = 1 << 60

Viewer = Callable[[Output], Awaitable[None]]


class ExecLog:
    """The output of a command, in order, with the position in each stream.

    The main command has `exec.log`, which is turned over at 16 MiB to `exec.log.1`. `exec.pos` holds two u64, the
    logged bytes of stdout and of stderr: a daemon that takes over the command continues exactly there. Another command
    without viewers has `exec-ID.log`, which is turned over at 1 MiB. `log_times` has the times beside each.
    """

    def __init__(self, directory: Path, *, resume: bool, exec_id: int | None = None) -> None:
        self._path = directory / exec_log_name(exec_id)
        self._limit_bytes = LOG_LIMIT_BYTES if exec_id is None else OTHERS_LIMIT_BYTES
        self._complained = False
        self._fd = _open_append(self._path)
        self._size = os.fstat(self._fd).st_size
        self._times = TimesWriter(self._path, self._fd)
        self._positions_fd = open_to_write(self._path.with_suffix(".pos"), os.O_RDWR)
        self.positions = _read_positions(self._positions_fd) if resume else (0, 0)
        """Logged bytes of stdout and of stderr."""
        self.go_on_at(self.positions)

    def go_on_at(self, positions: tuple[int, int]) -> None:
        """Set the positions at which the streams really continue; they may differ from the file."""
        self.positions = positions
        with contextlib.suppress(OSError):  # a full disk must not stop the command
            os.pwrite(self._positions_fd, _POSITIONS.pack(*positions), 0)

    def write(self, output: Output) -> None:
        try:
            if self._size + len(output.data) > self._limit_bytes:
                self._rotate()
            self._times.note(self._size)
            self._size += os.write(self._fd, output.data)
            self._complained = False
        except OSError as exc:
            self._complain(exc)  # a full disk must not stop the command
        logged = list(self.positions)
        logged[output.stream - STDOUT] += len(output.data)
        self.go_on_at((logged[0], logged[1]))

    def _complain(self, exc: OSError) -> None:
        """Warn once, until a write succeeds again: the daemon's log may be on the same full disk."""
        if not self._complained:
            log.warning("%s: %s", self._path, exc)
            self._complained = True

    def _rotate(self) -> None:
        """The old file stays open until the new file is open; otherwise another file could get its descriptor."""
        os.replace(self._path, self._path.with_name(self._path.name + ".1"))
        old, self._fd = self._fd, _open_append(self._path)
        os.close(old)
        self._size = 0
        self._times.begin(self._fd)

    def close(self) -> None:
        self._times.close()
        os.close(self._fd)
        os.close(self._positions_fd)


def exec_log_name(exec_id: int | None) -> str:
    """The name of a command's log; None means the main command."""
    return "exec.log" if exec_id is None else f"exec-{exec_id}.log"


def remove_exec_log(directory: Path, exec_id: int) -> None:
    log_path = directory / exec_log_name(exec_id)
    for suffix in ("", ".1", ".times", ".times.1"):
        remove_tree(log_path.with_name(log_path.name + suffix))
    remove_tree(log_path.with_suffix(".pos"))


def remove_exec_logs(directory: Path) -> None:
    """Remove all logs of commands: the machine starts again, and so do the numbers of its commands."""
    for path in directory.glob("exec-*.*"):
        remove_tree(path)


def _open_append(path: Path) -> int:
    return open_to_write(path, os.O_WRONLY | os.O_APPEND)


def _read_positions(fd: int) -> tuple[int, int]:
    """Read, not mapped: a VMM that makes the file shorter would end the daemon. No command writes as much as a VMM may
    make up."""
    out, err = _POSITIONS.unpack(os.pread(fd, _POSITIONS.size, 0).ljust(_POSITIONS.size, b"\0"))
    return (out, err) if max(out, err) <= _FURTHEST else (0, 0)


class RunningExec:
    """Owns the pump task of one guest process. `done` resolves to its exit, or to `agent_lost`; `overdue` resolves to
    `timeout` when waiting for the command should end."""

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
        self._viewers = [viewer] if viewer is not None else []
        self._log = log_to
        self._wanted_size: tuple[int, int] | None = None
        self._wanted_hang_up = 0
        self.done: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.done.add_done_callback(_retrieve)
        self.overdue: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.overdue.add_done_callback(_retrieve)
        self._pump_task = asyncio.create_task(self._pump(), name=f"exec {info.id}")

    async def ended(self) -> Exit:
        """The exit of the command. Raises `timeout` if the command is overdue, and the errors of `done`."""
        either: list[asyncio.Future[Any]] = [self.done, self.overdue]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self.done.done():
            self.overdue.result()
        return self.done.result()

    @property
    def waits_for_guest(self) -> bool:
        """Whether the command waits for the guest, and not for its viewers."""
        return self.process.waits_for_guest

    @property
    def received_bytes(self) -> int:
        """Bytes of output received, read or not."""
        return sum(self.process.received)

    def note_overdue(self, error: Error) -> None:
        """Tasks that wait for the command get this error. The command may still end later."""
        if not self.overdue.done():
            self.overdue.set_exception(error)

    def watch(self, viewer: Viewer) -> None:
        """Send the output to `viewer` from now on, as to the other viewers. The slowest viewer sets the pace."""
        self._viewers.append(viewer)

    def unwatch(self, viewer: Viewer) -> None:
        """Remove a viewer. No error if it is removed already."""
        with contextlib.suppress(ValueError):
            self._viewers.remove(viewer)

    async def write(self, data: bytes) -> None:
        """Write to stdin; a guest with stopped vCPUs takes the data when it continues."""
        await self.process.write(data)

    def close_stdin(self) -> None:
        self.process.close_stdin()

    def note_size(self, rows: int, cols: int) -> None:
        """Note the size that the terminal should have; `fit` sends it."""
        self._wanted_size = (rows, cols)

    async def fit(self) -> None:
        """Send the guest the size that was noted, unless it was sent already."""
        size, self._wanted_size = self._wanted_size, None
        if size is not None and self.info.running:
            await self.process.resize(*size)

    def note_hang_up(self, number: int) -> None:
        """Note a signal for all processes of the command's session; `hang_up` sends it."""
        self._wanted_hang_up = number

    async def hang_up(self) -> None:
        """Send the signal that was noted, unless it was sent already."""
        if self._wanted_hang_up and self.info.running:
            await self.process.signal(self._wanted_hang_up, session=True)
            self._wanted_hang_up = 0

    def log_from_now(self, directory: Path) -> None:
        """Log the output from now on, unless it is logged already. If the log cannot be written, the command continues
        without."""
        if self._log is not None or not self.info.running:
            return
        try:
            self._log = ExecLog(directory, resume=False, exec_id=self.info.id)
            self._log.go_on_at(self.process.received)
        except OSError as exc:
            log.warning("exec %d: its output is not logged: %s", self.info.id, exc)

    async def _pump(self) -> None:
        try:
            async for output in self.process.outputs():
                if self._log is not None:
                    self._log.write(output)
                await self._show(output)
            assert self.process.exit is not None
            self._settle(self.process.exit)
            await self.process.forget()
        except Error as exc:
            self._fail(exc)
        except Exception as exc:
            log.exception("exec %d", self.info.id)
            self._fail(bug(exc))
        finally:
            if self._log is not None:
                self._log.close()

    async def _show(self, output: Output) -> None:
        for viewer in tuple(self._viewers):
            try:
                await viewer(output)
            except Exception as exc:  # a broken viewer must not stop the command
                log.debug("exec %d: its viewer left: %r", self.info.id, exc)
                self.unwatch(viewer)

    def _settle(self, exit_: Exit) -> None:
        self.info.running = False
        self.info.exit = exit_
        if not self.done.done():
            self.done.set_result(exit_)

    def _fail(self, error: Error) -> None:
        self.info.running = False
        if not self.done.done():
            self.done.set_exception(error)


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Marks the error as seen: asyncio warns of errors that no task reads."""
    if not future.cancelled():
        future.exception()
