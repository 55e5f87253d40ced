"""Copy files into and out of a guest, as tar streams that built-in commands of the agent write and read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

from banger.agent.process import GuestProcess, Output, start_process
from banger.errors import Error
from banger.machines.ask.complaints import Complaints
from banger.machines.life.live import LiveMachine
from banger.model.command import Command
from banger.model.report import FileStat
from banger.wire.constants import STDOUT, AppletExit

_MAX_MESSAGE = 4096
_TYPES = {"file", "directory", "symlink"}
_NUMBER = re.compile(r"-?[0-9]{1,18}")
# If the guest sends or takes no data for this time, the guest or its disk hangs.
_STALLED_S = 60.0
_FINISH_S = 5.0

T = TypeVar("T")


async def stat_file(live: LiveMachine, path: str) -> FileStat:
    """Raises `file_not_found`."""
    process = await start_process(live.agent(), Command(argv=[path]), applet="stat")
    output = bytearray()
    async for piece in _checked_output(process, path):
        output += piece[: _MAX_MESSAGE - len(output)]
    words = output.decode("utf-8", "replace").split()
    if len(words) != 6 or not all(map(_is_number, words[2:])) or not _is_mode(words[1]):
        raise Error("agent_error", f"the agent sent an invalid answer about {path}")
    return FileStat(
        type=words[0] if words[0] in _TYPES else "other",
        mode=int(words[1], 8) & 0o7777,
        uid=int(words[2]),
        gid=int(words[3]),
        size_bytes=int(words[4]),
        mtime=int(words[5]),
    )


def _is_number(word: str) -> bool:
    return _NUMBER.fullmatch(word) is not None


def _is_mode(word: str) -> bool:
    return 0 < len(word) < 8 and set(word) <= set("01234567")


async def read_tar(live: LiveMachine, path: str, follow: bool = False) -> AsyncIterator[bytes]:
    """A file or tree as tar; with `follow` the target of a link at `path`. A missing path raises its error before the
    first byte."""
    words = ["--follow", "--", path] if follow else ["--", path]
    process = await start_process(live.agent(), Command(argv=words), applet="tar-out")
    async for piece in _checked_output(process, path):
        yield piece


async def read_tree(live: LiveMachine) -> AsyncIterator[bytes]:
    """What is in the root file system, as docs/protocol.md describes it for `tree`."""
    process = await start_process(live.agent(), Command(), applet="tree")
    async for piece in _checked_output(process, "/"):
        yield piece


async def _checked_output(process: GuestProcess, path: str) -> AsyncIterator[bytes]:
    complaints = Complaints()
    try:
        async for output in _outputs(process, path):
            if output.stream == STDOUT:
                yield output.data
            else:
                complaints.add(output.data)
        _raise_failure(process, complaints, path)
    finally:
        await _finish(process)


async def write_tar(live: LiveMachine, directory: str, chunks: AsyncIterator[bytes]) -> None:
    """Unpack a tar stream below `directory`."""
    process = await start_process(live.agent(), Command(argv=[directory], stdin=True), applet="tar-in")
    complaints = Complaints()
    try:
        async for chunk in chunks:
            await _unless_stalled(process.write(chunk), directory)
        process.close_stdin()
        async for output in _outputs(process, directory):
            complaints.add(output.data)
        _raise_failure(process, complaints, directory)
    finally:
        await _finish(process)


async def _outputs(process: GuestProcess, path: str) -> AsyncIterator[Output]:
    """The outputs of a built-in command. Raises `timeout` if the guest is silent and the command does not end."""
    outputs = process.outputs()
    while (output := await _unless_stalled(anext(outputs, None), path)) is not None:
        yield output


async def _unless_stalled(step: Awaitable[T], path: str) -> T:
    try:
        async with asyncio.timeout(_STALLED_S):
            return await step
    except TimeoutError as exc:
        raise Error("timeout", f"{path}: the guest sent nothing for {_STALLED_S:g} s") from exc


def _raise_failure(process: GuestProcess, complaints: Complaints, path: str) -> None:
    assert process.exit is not None
    if process.exit.code == 0:
        return
    line = complaints.tell(f"exit code {process.exit.code}")
    if process.exit.code == AppletExit.TAR_BROKEN:
        hint = "make the archive again, or copy all of it; the files before the error are in the machine"
        raise Error("archive_invalid", f"{path}: {line}", hint)
    is_missing = process.exit.code == AppletExit.PATH_MISSING
    raise Error("file_not_found" if is_missing else "agent_error", f"{path}: {line}")


async def _finish(process: GuestProcess) -> None:
    """End the built-in command if it still runs, and let the agent forget it."""
    try:
        async with asyncio.timeout(_FINISH_S):
            if process.exit is None:
                await process.signal(9)
                async for _ in process.outputs():
                    pass
            await process.forget()
    except (Error, TimeoutError):
        process.abandon()  # the agent does not answer, or is gone with its table
