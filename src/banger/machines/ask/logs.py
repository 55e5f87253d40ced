"""A machine's logs: the console, and the output of the main command; each with the part that was turned over.

A VMM may have put anything in their place (`host.foreign`): what is no file has no bytes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from banger.errors import Error
from banger.host.foreign import NotPlain, foreign_size, open_foreign
from banger.host.thread import in_thread
from banger.machines.ask.execs import exec_log_name
from banger.machines.ask.log_times import TimedLines, Window, find_index, turned_over

_CHUNK = 65536
_FOLLOW_S = 0.2
_TAIL_LIMIT = 1024 * 1024
_ALL = Window()
_FILES = {"console": "console.log", "exec": "exec.log"}


def log_path(directory: Path, source: str, exec_id: int | None = None) -> Path:
    """The path of a log. `exec_id`: a command other than the main command. Raises `bad_request` for an unknown source,
    `exec_not_found` for a command that has no log."""
    if exec_id is not None:
        path = directory / exec_log_name(exec_id)
        if source != "exec" or not os.path.lexists(path):
            hint = "banger keeps the output of commands that run detached"
            raise Error("exec_not_found", f"no output of command {exec_id} is kept", hint)
        return path
    name = _FILES.get(source)
    if name is None:
        raise Error("bad_request", f"unknown log {source!r}", f"choose one of: {', '.join(_FILES)}")
    return directory / name


async def read_log(
    path: Path, tail: int | None, follow: bool, still_writes: Callable[[], bool], window: Window = _ALL
) -> AsyncIterator[bytes]:
    """The log (or of its last `tail` lines those in the window); with `follow` also what is added, as long as
    `still_writes` is true."""
    reader = await in_thread(_Reader, path, tail)
    lines = TimedLines(window)
    while True:
        writing = still_writes() and not window.is_over
        while piece := await in_thread(reader.read):
            chunk = piece.data if window.is_all else await in_thread(_choose, path, piece, lines)
            if chunk:
                yield chunk
        if not (follow and writing):
            return
        await asyncio.sleep(_FOLLOW_S)
        await in_thread(reader.look_again)


class _Piece(NamedTuple):
    """Bytes of a log, and where they are: the inode of the part that has them, the position in it."""

    data: bytes
    inode: int
    offset: int


def _choose(path: Path, piece: _Piece, lines: TimedLines) -> bytes:
    """Blocks. The index is read after the piece, because it is written before."""
    return lines.choose(piece.data, piece.offset, find_index(path, piece.inode))


class _Reader:
    """The position of a reader in a log, which may be turned over meanwhile. All methods block."""

    def __init__(self, path: Path, tail: int | None) -> None:
        self._path = path
        self._older = turned_over(path)
        self._turn = _identity(self._older)
        self._offset = 0 if tail is None else find_tail(path, tail)
        self._before: Iterator[_Piece] = iter(())
        """Of the part that was turned over, what comes first."""
        if tail is None or _begins_before(path, self._offset, tail):
            self._before = _chunks(
                self._older, 0 if tail is None else find_tail(self._older, tail - _count_lines(path))
            )

    def read(self) -> _Piece | None:
        """The next bytes; None if there are no more at the moment."""
        if piece := next(self._before, None):
            return piece
        if self._was_turned() and foreign_size(self._path) < foreign_size(self._older):
            self._turn = _identity(self._older)
            self._before = _chunks(self._older, self._offset)  # what was not read yet, from the same position
            self._offset = 0
            if piece := next(self._before, None):
                return piece
        piece = _read_piece(self._path, self._offset)
        self._offset += len(piece.data) if piece else 0
        return piece

    def look_again(self) -> None:
        """Start again at the beginning if the log has become shorter."""
        if foreign_size(self._path) < self._offset and not self._was_turned():
            self._offset = 0

    def _was_turned(self) -> bool:
        return _identity(self._older) != self._turn


def _identity(path: Path) -> int:
    """Differs after each turn."""
    try:
        return path.lstat().st_ino
    except OSError:
        return 0


def _begins_before(path: Path, offset: int, lines: int) -> bool:
    """Whether the last `lines` lines begin in the part that was turned over."""
    return offset == 0 and _count_lines(path) < lines


def _count_lines(path: Path) -> int:
    """The number of lines in a log that is not longer than the limit of a tail."""
    data = _read_at(path, 0, _TAIL_LIMIT)
    return data.count(b"\n") + (not data.endswith(b"\n") and bool(data))


def _chunks(path: Path, offset: int) -> Iterator[_Piece]:
    while piece := _read_piece(path, offset):
        offset += len(piece.data)
        yield piece


def find_tail(path: Path, lines: int) -> int:
    """Where the last `lines` lines begin, at most 1 MiB before the end."""
    size = foreign_size(path)
    begin = max(0, size - _TAIL_LIMIT)
    data = _read_at(path, begin, _TAIL_LIMIT)
    position = len(data) - 1 if data.endswith(b"\n") else len(data)
    for _ in range(lines):
        position = data.rfind(b"\n", 0, position)
        if position < 0:
            return begin
    return begin + position + 1 if lines else size


def _read_at(path: Path, offset: int, limit: int) -> bytes:
    piece = _read_piece(path, offset, limit)
    return piece.data if piece else b""


def _read_piece(path: Path, offset: int, limit: int = _CHUNK) -> _Piece | None:
    """None if there is nothing at this position."""
    try:
        fd = open_foreign(path)
    except (FileNotFoundError, PermissionError, NotPlain):
        return None
    try:
        data = os.pread(fd, limit, offset)
        return _Piece(data, os.fstat(fd).st_ino, offset) if data else None
    finally:
        os.close(fd)
