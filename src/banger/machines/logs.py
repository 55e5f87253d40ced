"""A machine's logs: the console, and what its main command wrote; of each the part before it was turned over, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from banger.errors import Error
from banger.machines.execs import exec_log_name

_CHUNK = 65536
_FOLLOW_S = 0.2
_TAIL_LIMIT = 1024 * 1024
_FILES = {"console": "console.log", "exec": "exec.log"}


def log_path(directory: Path, source: str, exec_id: int | None = None) -> Path:
    """`exec_id`: of a command other than the main one. Raises `bad_request` for a source there is not, `exec_not_found`
    for a command that has no log."""
    if exec_id is not None:
        path = directory / exec_log_name(exec_id)
        if source != "exec" or not path.exists():
            hint = "only what runs without anybody watching is logged"
            raise Error("exec_not_found", f"there is no output of a command {exec_id}", hint)
        return path
    name = _FILES.get(source)
    if name is None:
        raise Error("bad_request", f"no log {source!r}", f"one of: {', '.join(_FILES)}")
    return directory / name


def turned_over(path: Path) -> Path:
    """Where a log goes when it has become too long."""
    return path.with_name(path.name + ".1")


async def read_log(
    path: Path, tail: int | None, follow: bool, still_writes: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """The log (or its last `tail` lines); with `follow` what is added, until nobody writes it any more."""
    older = turned_over(path)
    turn = _identity(older)
    offset = 0 if tail is None else find_tail(path, tail)
    if tail is None or _begins_before(path, offset, tail):
        older_offset = 0 if tail is None else find_tail(older, tail - _count_lines(path))
        for chunk in _chunks(older, older_offset):
            yield chunk
    while True:
        writing = still_writes()
        while True:
            if _identity(older) != turn and size_of(path) < size_of(older):
                turn = _identity(older)
                for chunk in _chunks(older, offset):  # what we had not read yet, at the same place
                    yield chunk
                offset = 0
            chunk = _read_at(path, offset)
            if not chunk:
                break
            offset += len(chunk)
            yield chunk
        if not (follow and writing):
            return
        await asyncio.sleep(_FOLLOW_S)
        if size_of(path) < offset and _identity(older) == turn:
            offset = 0  # begun anew


def _identity(path: Path) -> int:
    """Another one after each turn."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _begins_before(path: Path, offset: int, lines: int) -> bool:
    """Whether the last `lines` lines began in the part that was turned over."""
    return offset == 0 and _count_lines(path) < lines


def _count_lines(path: Path) -> int:
    """Of a log of which all is within reach of a tail."""
    data = _read_at(path, 0, _TAIL_LIMIT)
    return data.count(b"\n") + (not data.endswith(b"\n") and bool(data))


def _chunks(path: Path, offset: int) -> Iterator[bytes]:
    while chunk := _read_at(path, offset):
        offset += len(chunk)
        yield chunk


def find_tail(path: Path, lines: int) -> int:
    """Where the last `lines` lines begin; a guest that writes no newlines is cut at 1 MiB."""
    size = size_of(path)
    begin = max(0, size - _TAIL_LIMIT)
    data = _read_at(path, begin, _TAIL_LIMIT)
    position = len(data) - 1 if data.endswith(b"\n") else len(data)
    for _ in range(lines):
        position = data.rfind(b"\n", 0, position)
        if position < 0:
            return begin
    return begin + position + 1 if lines else size


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read_at(path: Path, offset: int, limit: int = _CHUNK) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(limit)
    except FileNotFoundError:
        return b""
