"""A tree as an archive describes it, in two ways: by the reader of this package, and as the agent's own has made it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from banger.client.trees.unpacking import safe_parts
from banger.tar.cursor import Cursor
from banger.tar.entries import read_entries
from banger.tar.entry import Entry
from banger.tar.failure import Refused
from banger.tar.kind import Kind
from banger.tar.limits import Bounds
from tests.support.oracle import KINDS

NAME_MAX = 255
# A file with holes is held in memory as a whole.
_HANDY_BYTES = 64 << 20


class Unwieldy(Exception):
    """A tree that is too large for a test."""


class Seen(NamedTuple):
    """`names` are all that the file has. `data`: contents of a file, target of a link, device number of a node."""

    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    data: bytes
    xattrs: tuple[tuple[bytes, bytes], ...]
    names: tuple[bytes, ...]


Tree = dict[bytes, Seen]


def travels(name: bytes) -> bool:
    """Extended attributes that the agent takes and gives."""
    return name.startswith(b"user.") or name == b"security.capability"


def described_by(tar: bytes) -> Tree:
    """Later entries take the place of earlier ones, as in a directory. Raises `TarFailure`; `Refused` also for what an
    archive may say, and no directory can have."""
    chunks = iter([memoryview(tar)] if tar else [])
    cursor = Cursor(lambda: next(chunks, None))
    found: dict[bytes, list[object]] = {}
    for entry in read_entries(cursor, Bounds(), travels, to_its_end=True):
        data = contents_of(cursor, entry)
        parts = safe_parts(entry.path)
        if any(len(part) > NAME_MAX for part in parts):
            raise Refused("its name has a part that is too long")
        if not parts:
            if entry.kind is not Kind.DIRECTORY:
                raise Refused("it is the tree itself")
            continue
        _put(found, parts, entry, data)
    names: dict[int, list[bytes]] = {}
    for path, inode in found.items():
        names.setdefault(id(inode), []).append(path)
    return {path: _seen(inode, tuple(sorted(names[id(inode)]))) for path, inode in found.items() if inode}


def _put(found: dict[bytes, list[object]], parts: tuple[bytes, ...], entry: Entry, data: bytes) -> None:
    """An inode is a list: names that are linked have the same one. An empty one is a directory that is only implied."""
    for depth in range(1, len(parts)):
        above = found.setdefault(b"/".join(parts[:depth]), [])
        if above and above[0] is not Kind.DIRECTORY:
            raise Refused("it lies below what is no directory")
    path = b"/".join(parts)
    old = found.get(path)
    is_directory = old is not None and (not old or old[0] is Kind.DIRECTORY)
    if is_directory and entry.kind is not Kind.DIRECTORY:
        raise Refused("it would take the place of a directory")
    if entry.kind is None:
        target = found.get(b"/".join(safe_parts(entry.target)))
        if not target or target[0] is Kind.DIRECTORY or target is old:
            raise Refused("it is a link to nothing that could be linked")
        found[path] = target
        return
    inode: list[object] = old if is_directory and old is not None else []
    inode[:] = [
        entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime_ns, data, tuple(sorted((entry.xattrs or {}).items()))
    ]  # fmt: skip
    found[path] = inode


def _seen(inode: list[object], names: tuple[bytes, ...]) -> Seen:
    return Seen._make([*inode, names])


def contents_of(cursor: Cursor, entry: Entry) -> bytes:
    """What the entry's file, link or node is of; takes the data."""
    if entry.kind in (Kind.CHAR, Kind.BLOCK):
        return b"%d:%d" % entry.device
    if entry.kind is Kind.SYMLINK:
        return entry.target
    if entry.size > _HANDY_BYTES:
        raise Unwieldy
    stored = cursor.read(entry.stored)
    cursor.skip_padding(entry.stored)
    if entry.segments is None:
        return stored
    whole, at = bytearray(entry.size), 0
    for offset, length in entry.segments:
        whole[offset : offset + length] = stored[at : at + length]
        at += length
    return bytes(whole)


def made_in(root: Path, names: set[bytes] | None = None) -> Tree:
    """What is there; of directories those alone that are among `names`, if these are given."""
    by_inode: dict[int, list[bytes]] = {}
    found = dict(_walk(os.fsencode(root), b""))
    for path, info in found.items():
        by_inode.setdefault(info.st_ino, []).append(path)
    tree = {}
    for path, info in found.items():
        if names is None or path in names or not stat.S_ISDIR(info.st_mode):
            tree[path] = _look(
                os.path.join(os.fsencode(root), path), info, tuple(sorted(by_inode[info.st_ino]))
            )
    return tree


def _walk(root: bytes, below: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    for item in os.scandir(os.path.join(root, below)):
        path = os.path.join(below, item.name)
        info = item.stat(follow_symlinks=False)
        yield path, info
        if stat.S_ISDIR(info.st_mode):
            yield from _walk(root, path)


def _look(path: bytes, info: os.stat_result, names: tuple[bytes, ...]) -> Seen:
    kind = KINDS[stat.S_IFMT(info.st_mode)]
    data, xattrs = b"", []
    if kind is Kind.FILE:
        data = Path(os.fsdecode(path)).read_bytes()
    elif kind is Kind.SYMLINK:
        data = os.readlink(path)
    elif kind in (Kind.CHAR, Kind.BLOCK):
        data = b"%d:%d" % (os.major(info.st_rdev), os.minor(info.st_rdev))
    if kind in (Kind.FILE, Kind.DIRECTORY):
        names_of = [os.fsencode(name) for name in os.listxattr(path)]
        xattrs = sorted((name, os.getxattr(path, name)) for name in names_of if travels(name))
    mode = stat.S_IMODE(info.st_mode)
    return Seen(kind, mode, info.st_uid, info.st_gid, info.st_mtime_ns, data, tuple(xattrs), names)
