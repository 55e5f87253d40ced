"""A tree of files of this host → a tar stream for a machine.

Links are packed as links. A file that cannot be read is named and left out. Holes stay holes.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress

from banger.client.trees.complaints import Complaints
from banger.tar.entry import Entry
from banger.tar.kind import Kind
from banger.tar.limits import Bounds
from banger.tar.sparse import Segments
from banger.tar.writer import END, padding, write_headers

_PIECE = 64 * 1024
_PIECES_AT_ONCE = 64
_UNTOLD_BYTES = 4 * 1024 * 1024
_STRETCHES_MAX = 10_000
_SECOND_NS = 1_000_000_000
# A FIFO in place of a file must not block us.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_XATTR_BYTES = Bounds().header_bytes // 2
_NO_FILE = "it is not a regular file, directory or link"
_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFIFO: Kind.FIFO,
}

Choose = Callable[[str], bool | None]


def pack_tree(
    source: str,
    name: str,
    keep_owner: bool = False,
    complaints: Complaints | None = None,
    choose: Choose | None = None,
) -> Iterator[bytes]:
    """A tar stream of `source`, whose root has the name `name` in it ("." for the contents alone).

    Without `keep_owner` everything belongs to root. Sockets, device nodes and unreadable files are left out.
    `complaints` names them, and files that could not be copied exactly. `choose` says of each path below `source`
    whether it is wanted; after None a directory is packed only if something in it is. Raises OSError if `source` itself
    cannot be read.
    """
    packer = _Packer(keep_owner, complaints if complaints is not None else Complaints(), choose)
    waiting: list[bytes] = []
    for piece in packer.pack(os.fsencode(source), os.fsencode(name)):
        waiting.append(piece)
        if len(piece) == _PIECE or len(waiting) == _PIECES_AT_ONCE:
            yield b"".join(waiting)
            waiting.clear()
    yield b"".join([*waiting, END])


class _Packer:
    """Lives for one stream. `_first_names` has the files with several names, `_passed` the directories that are packed
    only if something in them is: their paths by their names."""

    def __init__(self, keep_owner: bool, complaints: Complaints, choose: Choose | None) -> None:
        self._keep_owner = keep_owner
        self._complaints = complaints
        self._choose = choose
        self._passed: dict[bytes, bytes] = {}
        self._first_names: dict[tuple[int, int], bytes] = {}

    def pack(self, source: bytes, name: bytes) -> Iterator[bytes]:
        """Pack a tree, directories before their contents."""
        info = os.lstat(source)
        yield from self._pack_one(source, name, info)
        waiting = self._inside(source, name) if stat.S_ISDIR(info.st_mode) else []
        while waiting:
            path, inner = waiting.pop()
            wanted = self._choose is None or self._choose(os.fsdecode(inner[len(name) + 1 :]))
            if wanted is False:
                continue
            try:
                info = os.lstat(path)
                if wanted:
                    yield from self._pack_passed(inner)
                    yield from self._pack_one(path, inner, info)
                elif stat.S_ISDIR(info.st_mode):
                    self._passed[inner] = path
            except OSError as exc:
                self._leave_out(path, exc.strerror or str(exc))
                continue
            if stat.S_ISDIR(info.st_mode):
                waiting += self._inside(path, inner)

    def _pack_passed(self, inner: bytes) -> Iterator[bytes]:
        """The directories above `inner` that were passed, the highest first."""
        above = [inner]
        while (parent := above[-1].rpartition(b"/")[0]) in self._passed:
            above.append(parent)
        for parent in reversed(above[1:]):
            path = self._passed.pop(parent)
            yield from self._pack_one(path, parent, os.lstat(path))

    def _inside(self, path: bytes, name: bytes) -> list[tuple[bytes, bytes]]:
        """Paths and names of a directory's contents, the first at the end."""
        try:
            found = sorted(os.listdir(path), reverse=True)
        except OSError as exc:
            self._leave_out(path, f"cannot list it: {exc.strerror}")
            return []
        return [(os.path.join(path, entry), name + b"/" + entry) for entry in found]

    def _leave_out(self, path: bytes, why: str) -> None:
        self._complaints.add(f"left out {os.fsdecode(path)}: {why}")

    def _pack_one(self, path: bytes, name: bytes, info: os.stat_result) -> Iterator[bytes]:
        """Raises OSError before the first piece, or not at all."""
        kind = _KINDS.get(stat.S_IFMT(info.st_mode))
        if kind is None:
            self._leave_out(path, _NO_FILE)
        elif kind is Kind.FILE:
            yield from self._pack_file(path, name)
        else:
            entry = self._entry(name, kind, info)
            if kind is Kind.SYMLINK:
                entry.target = os.readlink(path)
            elif kind is Kind.DIRECTORY:
                entry.xattrs = self._attributes(path, path)
            yield write_headers(entry)

    def _entry(self, name: bytes, kind: Kind, info: os.stat_result) -> Entry:
        owner = (info.st_uid, info.st_gid) if self._keep_owner else (0, 0)
        seconds = info.st_mtime_ns // _SECOND_NS
        return Entry(name, kind, (stat.S_IMODE(info.st_mode), *owner), seconds * _SECOND_NS, 0)

    def _pack_file(self, path: bytes, name: bytes) -> Iterator[bytes]:
        fd = os.open(path, _READ)
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                self._leave_out(path, _NO_FILE)
                return
            entry = self._entry(name, Kind.FILE, info)
            first = self._first_names.get((info.st_dev, info.st_ino))
            if first is not None:
                entry.kind, entry.target = None, first
                yield write_headers(entry)
                return
            entry.xattrs = self._attributes(path, fd)
            yield from self._pack_contents(path, fd, entry, info)
            if info.st_nlink > 1:
                self._first_names[info.st_dev, info.st_ino] = name
        finally:
            os.close(fd)

    def _pack_contents(self, path: bytes, fd: int, entry: Entry, info: os.stat_result) -> Iterator[bytes]:
        if not info.st_size:
            untold = self._read_untold(path, fd)
            entry.size = entry.stored = len(untold)
            yield write_headers(entry) + untold + padding(len(untold))
            return
        entry.size = entry.stored = info.st_size
        if info.st_blocks * 512 < info.st_size:
            entry.segments = _find_stretches(fd, info.st_size)
        stretches = ((0, entry.size),) if entry.segments is None else entry.segments
        entry.stored = sum(length for _, length in stretches)
        yield write_headers(entry)
        for at, length in stretches:
            yield from self._read_stretch(path, fd, at, at + length)
        yield padding(entry.stored)

    def _read_untold(self, path: bytes, fd: int) -> bytes:
        """The contents of a file that claims to be empty, as files of the kernel do."""
        found = bytearray()
        while len(found) < _UNTOLD_BYTES and (piece := os.read(fd, _UNTOLD_BYTES - len(found))):
            found += piece
        if len(found) == _UNTOLD_BYTES:
            self._complaints.add(
                f"{os.fsdecode(path)} does not state its size: only its beginning was copied"
            )
        return bytes(found)

    def _read_stretch(self, path: bytes, fd: int, at: int, end: int) -> Iterator[bytes]:
        """Exactly these bytes of the file, even if the file changes meanwhile."""
        try:
            while at < end and (piece := os.pread(fd, min(_PIECE, end - at), at)):
                at += len(piece)
                yield piece
            why = "it became shorter while it was copied"
        except OSError as exc:
            why = exc.strerror or str(exc)
        if at < end:
            self._complaints.add(f"{os.fsdecode(path)}: {why}: zeros replace the missing part")
        while at < end:
            gap = min(_PIECE, end - at)
            at += gap
            yield bytes(gap)

    def _attributes(self, path: bytes, at: bytes | int) -> dict[bytes, bytes] | None:
        """The extended attributes that mean the same on another system."""
        found: dict[bytes, bytes] = {}
        with suppress(OSError):  # a file system without attributes
            for name in os.listxattr(at):
                if (name.startswith("user.") and "=" not in name) or name == "security.capability":
                    found[os.fsencode(name)] = os.getxattr(at, name)
        if sum(map(len, (*found, *found.values()))) > _XATTR_BYTES:
            self._complaints.add(f"{os.fsdecode(path)}: its extended attributes are too large: left out")
            return None
        return found or None


def _find_stretches(fd: int, size: int) -> Segments | None:
    """The stretches of a file with data; None if it has no holes, or the file system cannot tell."""
    found: list[tuple[int, int]] = []
    end = 0
    try:
        while end < size and len(found) < _STRETCHES_MAX:
            start = os.lseek(fd, end, os.SEEK_DATA)
            if start >= size:
                break
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
            found.append((start, end - start))
    except OSError as exc:
        if exc.errno != errno.ENXIO:  # the file system says: no more data
            return None
    if len(found) == _STRETCHES_MAX:
        found[-1] = (found[-1][0], size - found[-1][0])
    return None if found == [(0, size)] else tuple(found)
