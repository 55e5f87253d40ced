"""Single files as tar streams, and listings of directories as a machine's own programs print them. Pure, apart from the
streams that it reads."""

from __future__ import annotations

import os
import posixpath
import re
import stat
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from banger.errors import Error
from banger.tar.cursor import Cursor
from banger.tar.entries import read_entries, skip_data
from banger.tar.entry import Entry
from banger.tar.failure import TarFailure
from banger.tar.kind import Kind
from banger.tar.limits import Bounds
from banger.tar.writer import END, padding, write_headers

# A guest is hostile: what it sends is taken into memory only up to here.
FILE_LIMIT_BYTES = 256 << 20
LISTING_LIMIT_BYTES = 64 << 20
_PIECE = 1 << 20
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
# For each batch of names: their number, then a line of numbers for each name, then the names, in which all
# but NUL may be.
_EACH = 'printf "%s\\n" $#; stat -c "%f %u %g %s %Y" -- "$@"; printf "%s\\0" "$@"'
_NUMBERS = re.compile(rb"([0-9a-f]{1,8}) (\d{1,20}) (\d{1,20}) (\d{1,20}) (-?\d{1,20})")


class FileEntry(NamedTuple):
    """A file of a machine, as `list` and `walk` show it. `type` is file, directory, symlink or other; `mtime` is in
    seconds since 1970."""

    path: str
    type: str
    mode: int
    uid: int
    gid: int
    size_bytes: int
    mtime: int

    @property
    def name(self) -> str:
        return posixpath.basename(self.path)


def absolute(path: str) -> str:
    """A path of a machine; relative ones begin at its root."""
    return posixpath.normpath(posixpath.join("/", path))


def above(path: str) -> Iterator[tuple[str, str]]:
    """Each directory above a path, the nearest first, and the path from there."""
    directory = path
    while directory != "/":
        directory = posixpath.dirname(directory)
        yield directory, posixpath.relpath(path, directory)


def find_source(source: str | os.PathLike[str]) -> str:
    """A file or tree of this host. Raises `file_not_found`."""
    local = os.path.realpath(source)
    if not os.path.lexists(local):
        raise Error("file_not_found", f"{os.fspath(source)} does not exist on this host")
    return local


def prepare_target(target: str | os.PathLike[str]) -> tuple[str, str]:
    """Directory and name of a copy on this host. The directory ends with a slash: then a link in its place is
    followed."""
    directory, name = os.path.split(os.path.abspath(target))
    return os.path.join(directory, ""), name


def pack_file(name: str, data: bytes, mode: int) -> Iterator[bytes]:
    """A tar stream of one file that belongs to root."""
    entry = _entry(name, Kind.FILE, mode)
    entry.size = entry.stored = len(data)
    yield write_headers(entry)
    yield from (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))
    yield padding(len(data)) + END


def pack_directory(name: str) -> Iterator[bytes]:
    """A tar stream of one empty directory that belongs to root."""
    yield write_headers(_entry(name, Kind.DIRECTORY, 0o755)) + END


def _entry(name: str, kind: Kind, mode: int) -> Entry:
    return Entry(
        name.encode("utf-8", "surrogateescape"), kind, (mode, 0, 0), int(time.time()) * 1_000_000_000, 0
    )


def read_file(pieces: Iterable[bytes], limit_bytes: int = FILE_LIMIT_BYTES) -> bytes:
    """The contents of the one file in a tar stream. Raises `bad_request` if the stream has another kind of file,
    `payload_too_large` for a file beyond the limit, `agent_error` for a stream that is malformed or cut short."""
    chunks = iter(pieces)
    cursor = Cursor(lambda: None if (chunk := next(chunks, None)) is None else memoryview(chunk))
    contents: bytes | None = None
    try:
        for entry in read_entries(cursor, Bounds(), lambda _: False, to_its_end=True):
            if contents is None:
                contents = _contents(cursor, entry, limit_bytes)
            else:
                skip_data(cursor, entry)
    except TarFailure as exc:
        raise Error("agent_error", f"the machine sent a broken tar stream: {exc.what}") from exc
    if contents is None:
        raise Error("agent_error", "the machine sent an empty tar stream")
    return contents


def _contents(cursor: Cursor, entry: Entry, limit_bytes: int) -> bytes:
    if entry.kind is not Kind.FILE:
        raise Error(
            "bad_request", "the path does not name a regular file", "list directories with `files.list`"
        )
    if entry.size > limit_bytes:
        raise too_large(f"the file has {entry.size} bytes", limit_bytes)
    if entry.segments is None:
        data = cursor.read(entry.stored)
    else:
        whole = bytearray(entry.size)
        for at, length in entry.segments:
            whole[at : at + length] = cursor.read(length)
        data = bytes(whole)
    cursor.skip_padding(entry.stored)
    return data


def too_large(what: str, limit_bytes: int) -> Error:
    return Error(
        "payload_too_large",
        f"{what}, and at most {limit_bytes} are taken into memory",
        "allow more with limit_bytes, or use `files.download`",
    )


def listing_command(path: str, deep: bool) -> list[str]:
    """The command that lists a directory, with programs that Debian and Alpine both have."""
    depth = [] if deep else ["-maxdepth", "1"]
    return ["find", "-H", path, "-mindepth", "1", *depth, "-exec", "/bin/sh", "-c", _EACH, "sh", "{}", "+"]


def parse_listing(output: bytes) -> list[FileEntry] | None:
    """What that command printed, sorted by path; None if a file went away meanwhile."""
    found: list[FileEntry] = []
    at = 0
    while at < len(output):
        head, _, _ = output[at : at + 20].partition(b"\n")
        if not head.isdigit():
            return None
        at += len(head) + 1
        lines: list[tuple[int, ...]] = []
        for _ in range(int(head)):
            match = _NUMBERS.match(output, at)
            if match is None:
                return None
            lines.append((int(match[1], 16), *(int(match[part]) for part in range(2, 6))))
            at = match.end() + 1
        for mode, uid, gid, size, mtime in lines:
            end = output.find(b"\0", at)
            path = output[at:end].decode("utf-8", "surrogateescape")
            kind = _KINDS.get(stat.S_IFMT(mode), "other")
            found.append(FileEntry(path, kind, stat.S_IMODE(mode), uid, gid, size, mtime))
            at = end + 1
    return sorted(found)
