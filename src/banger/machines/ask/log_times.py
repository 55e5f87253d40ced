"""When the output of a command came: an index beside its log, and lines with their times.

The index says for some positions of the log when the bytes from there on came. It holds a limited number of entries,
whatever a guest writes: of a full index, half as many stay, evenly over the log, so old lines have coarser times than
new ones. It names its log by inode, because the two files are turned over one after the other, and a daemon may be
killed in between.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from banger.host.foreign import open_to_write, read_foreign
from banger.host.fs import discard

_HEADER = Struct("<8sQ")
_ENTRY = Struct("<QQ")
_MAGIC = b"logtime1"
_MOST_ENTRIES = 1 << 15
_APART_MS = 10
_PAUSE_MS = 5_000
_LATEST_MS = 253_402_300_799_000  # the last second that a datetime can hold


def times_path(log_path: Path) -> Path:
    """The index of a log."""
    return log_path.with_name(log_path.name + ".times")


def turned_over(path: Path) -> Path:
    """Where a log, or an index, is moved when it has become too long."""
    return path.with_name(path.name + ".1")


class TimesWriter:
    """Notes when a log grows. Lives as long as the log is open; no method fails: a log without times is still a log."""

    def __init__(self, log_path: Path, log_fd: int) -> None:
        self._path = times_path(log_path)
        self._fd: int | None = None
        self._count = 0
        self._noted_ms = 0
        self.begin(log_fd)

    def begin(self, log_fd: int) -> None:
        """Continue with the index of this log, or begin a new index; the index of another log is turned over."""
        self.close()
        inode, found = os.fstat(log_fd).st_ino, _read_index(self._path)
        with contextlib.suppress(OSError):
            if found is None or found.inode != inode:
                if found is not None:
                    os.replace(self._path, turned_over(self._path))
                discard(self._path)
                self._write_index(inode, array("Q"))
            else:
                self._fd = open_to_write(self._path, os.O_WRONLY)
                self._count = len(found.offsets)

    def note(self, offset: int) -> None:
        """The bytes from `offset` on come now."""
        now_ms = time.time_ns() // 1_000_000
        if self._fd is None or self._noted_ms - _PAUSE_MS <= now_ms < self._noted_ms + _APART_MS:
            return
        self._noted_ms = now_ms
        try:
            if self._count >= _MOST_ENTRIES:
                self._thin()
            os.pwrite(self._fd, _ENTRY.pack(offset, now_ms), _HEADER.size + self._count * _ENTRY.size)
            self._count += 1
        except OSError:  # a full disk must not stop the command
            self._noted_ms += _PAUSE_MS

    def _thin(self) -> None:
        """Keep half the entries at most, evenly over the bytes of the log: the error is the same wherever it is."""
        found = _read_index(self._path)
        if found is None:
            raise OSError("it is no index any more")
        part_bytes = 2 * max(found.offsets, default=0) // _MOST_ENTRIES + 1
        kept, part = array("Q"), -1
        for offset, moment_ms in zip(found.offsets, found.moments_ms, strict=True):
            if offset // part_bytes > part:
                part = offset // part_bytes
                kept.extend((offset, moment_ms))
        self._write_index(found.inode, kept)

    def _write_index(self, inode: int, entries: array[int]) -> None:
        """A new index in place of the old one. Other readers see one or the other."""
        fresh = self._path.with_name(f".{self._path.name}.new")
        discard(fresh)
        fd = open_to_write(fresh, os.O_WRONLY)
        try:
            os.write(fd, _HEADER.pack(_MAGIC, inode) + _little(entries).tobytes())
            os.replace(fresh, self._path)
        except OSError:
            os.close(fd)
            discard(fresh)
            raise
        self.close()
        self._fd, self._count = fd, len(entries) // 2

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class Index(NamedTuple):
    """What an index says of the log with this inode."""

    inode: int
    offsets: array[int]
    moments_ms: array[int]

    def when(self, offset: int) -> int | None:
        """When the byte at `offset` came, in milliseconds since 1970; None: unknown."""
        at = bisect_right(self.offsets, offset)
        return self.moments_ms[at - 1] if at and self.moments_ms[at - 1] <= _LATEST_MS else None


def find_index(log_path: Path, inode: int) -> Index | None:
    """The index of the part of a log that has this inode."""
    for path in (times_path(log_path), turned_over(times_path(log_path))):
        index = _read_index(path)
        if index is not None and index.inode == inode:
            return index
    return None


def _read_index(path: Path) -> Index | None:
    """None if there is no index, or something else. Reads no more than an index may hold."""
    try:
        data = read_foreign(path, 0, _HEADER.size + _MOST_ENTRIES * _ENTRY.size)
    except OSError:
        return None
    if len(data) < _HEADER.size or not data.startswith(_MAGIC):
        return None
    whole = (len(data) - _HEADER.size) // _ENTRY.size * _ENTRY.size
    numbers = array("Q")
    numbers.frombytes(data[_HEADER.size : _HEADER.size + whole])
    _little(numbers)
    return Index(_HEADER.unpack_from(data)[1], numbers[::2], numbers[1::2])


def _little(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


class Window(NamedTuple):
    """What a reader wants: lines that came between two moments, each with its time if it is `stamped`."""

    since_ms: int | None = None
    until_ms: int | None = None
    stamped: bool = False

    @property
    def is_all(self) -> bool:
        return self == Window()

    @property
    def is_over(self) -> bool:
        """Whether all lines that are to come are too late."""
        return self.until_ms is not None and time.time_ns() // 1_000_000 > self.until_ms

    def has(self, moment_ms: int | None) -> bool:
        """A line whose time is unknown is older than those whose time is known."""
        if moment_ms is None:
            return self.since_ms is None
        after = self.since_ms is None or moment_ms >= self.since_ms
        return after and (self.until_ms is None or moment_ms <= self.until_ms)


class TimedLines:
    """Takes the pieces of a log in their order, and gives the lines of a window. A line may be in several pieces."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._begun = False
        self._shown = False

    def choose(self, data: bytes, offset: int, index: Index | None) -> bytes:
        """The part of the next piece, which is at `offset`, that is in the window."""
        chosen = []
        for line in _lines(data):
            if not self._begun:
                moment_ms = index.when(offset) if index is not None else None
                self._shown = self._window.has(moment_ms)
                if self._shown and self._window.stamped:
                    chosen.append(_stamp(moment_ms))
            if self._shown:
                chosen.append(line)
            self._begun = not line.endswith(b"\n")
            offset += len(line)
        return b"".join(chosen)


def _lines(data: bytes) -> Iterator[bytes]:
    begin = 0
    while (end := data.find(b"\n", begin) + 1) > 0:
        yield data[begin:end]
        begin = end
    if begin < len(data):
        yield data[begin:]


def _stamp(moment_ms: int | None) -> bytes:
    """RFC 3339 in UTC, in milliseconds, and a space; "-" for a time that is not known."""
    if moment_ms is None:
        return b"- "
    moment = datetime.fromtimestamp(moment_ms // 1000, UTC).replace(microsecond=moment_ms % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z ").encode()
