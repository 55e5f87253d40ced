"""A guest's tar stream → a tree of files on this host.

A guest is hostile. Nothing is written outside the destination, whatever names or links this stream or an earlier one
contains: every directory is opened from its parent with O_NOFOLLOW, never by a path. The destination itself may be a
symbolic link only if a slash follows it. Links are data: they are kept, and never followed. Device nodes and FIFOs are
named and left out; set-id bits of files are dropped.

A file gets its name only when it is complete; an existing file with that name stays until then.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from banger.client.trees.complaints import Complaints
from banger.errors import Error
from banger.tar.cursor import Cursor
from banger.tar.entries import read_entries, skip_data
from banger.tar.entry import Entry
from banger.tar.failure import Corrupt, Refused, TarFailure, TooLarge, printable
from banger.tar.kind import Kind
from banger.tar.limits import Bounds

Parts = tuple[bytes, ...]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 64 * 1024
_ZEROS = bytes(_PIECE)
# As long and as deep as in the agent.
_NAME_BYTES = 65535
_DEPTH = 1000
LIMITS = Bounds(target_bytes=_NAME_BYTES)
_HELD_BYTES = 256 << 20
_HELD_BESIDES_NAME = 200
_OPEN_MODE = 0o755
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def unpack_tree(
    pieces: Iterable[bytes], place: Callable[[bool], tuple[str, str]], complaints: Complaints | None = None
) -> None:
    """Write the tree of a tar stream; `complaints` names what was left out.

    The first entry is the root of the tree. `place` is told whether it is a directory, and returns the directory to
    write to and the name of the root there ("": the root is that directory itself). Raises `agent_error` for a
    malformed or truncated stream; the entries before that are written.
    """
    cursor = cursor_of(pieces)
    try:
        _unpack(cursor, place, Complaints() if complaints is None else complaints)
        while cursor.fetch():  # a connection that breaks after the last entry is an error, too
            pass
    except TarFailure as exc:
        raise broken(exc) from exc


def broken(failure: TarFailure) -> Error:
    where = f"entry '{printable(failure.entry)}': " if failure.entry is not None else ""
    return Error("agent_error", f"the machine sent a broken tar stream: {where}{failure.what}")


def cursor_of(pieces: Iterable[bytes]) -> Cursor:
    chunks = iter(pieces)
    return Cursor(lambda: _next_of(chunks))


def _next_of(chunks: Iterator[bytes]) -> memoryview | None:
    chunk = next(chunks, None)
    return None if chunk is None else memoryview(chunk)


def _unpack(cursor: Cursor, place: Callable[[bool], tuple[str, str]], complaints: Complaints) -> None:
    entries = read_entries(cursor, LIMITS, _is_kept, to_its_end=True)
    root = next(entries, None)
    if root is None:
        complaints.add("nothing was copied: the machine sent an empty tree")
        return
    directory, name = place(root.kind is Kind.DIRECTORY)
    if not name and root.kind is not Kind.DIRECTORY:
        raise Corrupt("its first entry is not a directory", root.path)
    with _Unpacker(directory, os.fsencode(name), safe_parts(root.path), complaints) as unpacker:
        unpacker.take(root, cursor)
        for entry in entries:
            unpacker.take(entry, cursor)


def _is_kept(name: bytes) -> bool:
    """Whether an attribute is kept: only attributes of users. Capabilities are dropped like set-id bits, since the file
    belongs to another user here."""
    return name.startswith(b"user.")


def safe_parts(name: bytes) -> Parts:
    """The components of an entry's name, none of which can lead outside. Raises `Refused`."""
    parts = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
    if name.startswith(b"/") or b".." in parts or b"\0" in name:
        raise Refused("its name leads out of the tree", name)
    if len(name) > _NAME_BYTES:
        raise Refused(f"its name has more than {_NAME_BYTES} bytes", name)
    if len(parts) > _DEPTH:
        raise Refused(f"it lies more than {_DEPTH} directories deep", name)
    return parts


class _Unpacker:
    """Writes entries below a directory, which it keeps open. Use it in a `with`: at the end, also after an error,
    directories get their modes and times.

    `_files`        the written files, which hard links may name
    `_directories`  the directories that this copy made: (mode, time), or None before an entry describes it
    Both are limited: beyond the limit links to files are left out, and directories are refused."""

    def __init__(self, directory: str, name: bytes, root: Parts, complaints: Complaints) -> None:
        self._shown = os.fsencode(directory)
        # A link is followed only if a slash comes after it: a link without one may come from an earlier copy.
        self._directory = os.open(directory, _DIRECTORY)
        self._own = (name,) if name else ()
        self._root = root
        self._complaints = complaints
        self._files: set[bytes] = set()
        self._directories: dict[bytes, tuple[int, int] | None] = {}
        self._files_room = self._directories_room = _HELD_BYTES

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The deepest first: a mode may make the contents of a directory inaccessible.
        try:
            for path in sorted(self._directories, key=lambda path: path.count(b"/"), reverse=True):
                described = self._directories[path]
                if described is not None:
                    self._finish_directory(path, *described)
        finally:
            os.close(self._directory)

    def _finish_directory(self, path: bytes, mode: int, mtime_ns: int) -> None:
        """Set mode and time at last: until then files were written into the directory."""
        try:
            with self._opened(tuple(path.split(b"/"))) as directory:
                os.fchmod(directory, mode & 0o3777)
                _set_time(directory, mtime_ns)
        except (OSError, Error, TooLarge) as exc:
            self._complaints.add(f"cannot set mode and time of {self._show(path)}: {exc}")

    def take(self, entry: Entry, cursor: Cursor) -> None:
        """Write one entry with its contents, or complain that it is left out. Raises `TarFailure`, `bad_request`."""
        parts = self._place(entry.path)
        try:
            why_not = self._write(entry, parts, cursor)
        except OSError as exc:
            raise self._failed(parts or (), exc) from exc
        except TarFailure as exc:
            exc.entry = exc.entry or entry.path
            raise
        if why_not:
            skip_data(cursor, entry)
            self._complaints.add(f"left out {os.fsdecode(entry.path)}: {why_not}")

    def _failed(self, parts: Parts, exc: OSError) -> Error:
        message = f"cannot write {self._show(b'/'.join(parts))}: {exc.strerror or exc}"
        if exc.errno in _NO_ROOM:
            return Error("insufficient_disk", message, "free space there, or copy to another place")
        return Error("bad_request", message)

    def _show(self, path: bytes) -> str:
        return os.fsdecode(os.path.join(self._shown, path) if path else self._shown)

    def _place(self, name: bytes) -> Parts | None:
        """The place of an entry; None for an entry outside the tree."""
        parts = safe_parts(name)
        inside = parts[: len(self._root)] == self._root
        return self._own + parts[len(self._root) :] if inside else None

    def _write(self, entry: Entry, parts: Parts | None, cursor: Cursor) -> str:
        """Write an entry. Returns why it was left out, without having read its data."""
        if parts is None:
            return "it is outside of the tree that was to be copied"
        if entry.kind is Kind.DIRECTORY:
            self._make_directory(parts, entry)
            return ""
        if not parts or entry.kind not in (None, Kind.FILE, Kind.SYMLINK):
            return "it is not a regular file, directory or link"
        first = self._first_name(entry, parts) if entry.kind is None else parts
        if first is None:
            return "it is a link to a file that was not copied"
        self._write_file(entry, parts, first, cursor)
        return ""

    def _first_name(self, entry: Entry, parts: Parts) -> Parts | None:
        """The target of a hard link: a file that was written before. Links to anything else are refused."""
        first = self._place(entry.target)
        return first if first and first != parts and b"/".join(first) in self._files else None

    def _write_file(self, entry: Entry, parts: Parts, first: Parts, cursor: Cursor) -> None:
        """Write an entry that is not a directory. It replaces an existing file with its name once it is complete."""
        path = b"/".join(parts)
        with self._opened(parts[:-1]) as parent, _in_place_of(parent, parts[-1], self._show(path)) as new:
            if entry.kind is Kind.FILE:
                _fill_file(parent, new, entry, cursor)
            elif entry.kind is Kind.SYMLINK:
                os.symlink(entry.target, new, dir_fd=parent)
            else:
                with self._opened(first[:-1]) as source:
                    os.link(first[-1], new, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        if entry.kind is Kind.SYMLINK:
            self._files.discard(path)
        elif path not in self._files and self._files_room > 0:
            self._files_room -= len(path) + _HELD_BESIDES_NAME
            self._files.add(path)

    def _make_directory(self, parts: Parts, entry: Entry) -> None:
        """Make a directory. An existing one stays unchanged: a copy only adds to it."""
        path = b"/".join(parts)
        with self._opened(parts, 0o700) as directory:
            if path in self._directories:
                self._directories[path] = (entry.mode, entry.mtime_ns)
                _set_attributes(directory, entry)

    @contextmanager
    def _opened(self, parts: Parts, mode: int = _OPEN_MODE) -> Iterator[int]:
        """A directory below the root: each part is opened without following links, or made if it is missing; the last
        part with `mode`."""
        current = os.dup(self._directory)
        try:
            for depth in range(1, len(parts) + 1):
                below = self._enter(current, parts, depth, mode if depth == len(parts) else _OPEN_MODE)
                os.close(current)
                current = below
            yield current
        finally:
            os.close(current)

    def _enter(self, parent: int, parts: Parts, depth: int, mode: int) -> int:
        name = parts[depth - 1]
        try:
            return os.open(name, _DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            pass
        except OSError as exc:
            if exc.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            shown = self._show(b"/".join(parts[:depth]))
            raise Error("bad_request", f"{shown} is in the way and is not a directory") from exc
        path = b"/".join(parts[:depth])
        self._directories_room -= len(path) + _HELD_BESIDES_NAME
        if self._directories_room < 0:
            raise TooLarge("there are more directories than a copy may have")
        os.mkdir(name, mode, dir_fd=parent)
        self._directories[path] = None
        return os.open(name, _DIRECTORY, dir_fd=parent)


@contextmanager
def _in_place_of(parent: int, name: bytes, shown: str) -> Iterator[bytes]:
    """A temporary name. What the caller makes there then takes the place of `name`, completely or not at all. A
    directory with that name stays, and is an error."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise Error("bad_request", f"cannot replace {shown}: it is a directory")
    new = b".banger-" + os.urandom(8).hex().encode()
    try:
        yield new
        os.rename(new, name, src_dir_fd=parent, dst_dir_fd=parent)
    finally:
        # It exists still after a failure, or if `name` was another name of the same file.
        with suppress(FileNotFoundError):
            os.unlink(new, dir_fd=parent)


def _fill_file(parent: int, name: bytes, entry: Entry, cursor: Cursor) -> None:
    fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
    try:
        for offset, length in ((0, entry.size),) if entry.segments is None else entry.segments:
            at = offset
            for piece in cursor.pieces(length):
                _write_at(fd, piece, at)
                at += len(piece)
        cursor.skip_padding(entry.stored)
        os.ftruncate(fd, entry.size)
        _set_attributes(fd, entry)
        os.fchmod(fd, entry.mode & 0o1777)
        _set_time(fd, entry.mtime_ns)
    finally:
        os.close(fd)


def _write_at(fd: int, data: memoryview, at: int) -> None:
    """Write data; zeros become holes."""
    for start in range(0, len(data), _PIECE):
        piece = data[start : start + _PIECE]
        if not piece[0] and piece == _ZEROS[: len(piece)]:
            continue
        done = 0
        while done < len(piece):
            done += os.pwrite(fd, piece[done:], at + start + done)


def _set_attributes(fd: int, entry: Entry) -> None:
    for name, value in (entry.xattrs or {}).items():
        with suppress(OSError):  # a file system without attributes
            os.setxattr(fd, name, value)


def _set_time(fd: int, mtime_ns: int) -> None:
    with suppress(OSError, OverflowError):  # an attribute that no file system knows
        os.utime(fd, ns=(mtime_ns, mtime_ns))
