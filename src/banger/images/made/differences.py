"""What one tree has that another does not, as a layer: two tar archives in, one out.

Both archives come from guests, so they are read as any stranger's. What a guest's agent writes for each machine (its
name and addresses) is in no layer, nor what is mounted in each machine. Times of directories do not count as
differences: a machine that only started has other ones. Blocking. Source: OCI image-spec, layer.md.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import BinaryIO

from banger.errors import Error
from banger.images.disks.ext4 import can_store
from banger.images.disks.merge.limits import Budget, Limits
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.lifeline import Lifeline
from banger.images.reference.documents import invalid
from banger.model.sizes import MIB
from banger.tar.cursor import Cursor
from banger.tar.entries import read_entries
from banger.tar.entry import Entry
from banger.tar.failure import Refused, TarFailure, printable
from banger.tar.kind import Kind
from banger.tar.writer import END, padding, write_headers

_WHITEOUT = b".wh."
_OWN = frozenset((b"etc/hostname", b"etc/hosts", b"etc/machine-id", b"etc/resolv.conf", b"lost+found"))
_CHUNK_BYTES = MIB
_MOUNTED = (b"dev/", b"proc/", b"run/", b"sys/")

# What must be equal for two entries to be the same.
_Mark = tuple[object, ...]
Marks = dict[bytes, _Mark]


def read_marks(archive: ByteRange, line: Lifeline) -> Marks:
    """What each entry of a tree is, by its name. Raises `image_invalid`, `Cut`."""
    with _telling():
        return {entry.path: _mark(entry, _digest(data)) for entry, data in _entries(archive, line)}


def write_difference(base: Marks, archive: ByteRange, out: BinaryIO, line: Lifeline) -> None:
    """Write the layer that makes the tree of `archive` of the tree that `base` describes. Raises `image_invalid`,
    `Cut`."""
    with _telling():
        _write_difference(base, archive, out, line)


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    """What is wrong with an archive, as an error."""
    try:
        yield
    except TarFailure as exc:
        where = f"entry '{printable(exc.entry)}': " if exc.entry else ""
        raise invalid(f"the files of the machine cannot be read: {where}{exc.what}") from exc


def _write_difference(base: Marks, archive: ByteRange, out: BinaryIO, line: Lifeline) -> None:
    directories = {b""}
    seen: set[bytes] = set()
    written: set[bytes] = set()
    for entry, data in _entries(archive, line):
        name = entry.path
        _refuse_whiteout(name)
        seen.add(name)
        if entry.kind is Kind.DIRECTORY:
            directories.add(name)
        # An entry is written first, and taken back if its contents turn out to be known.
        start = out.tell()
        hashed = hashlib.sha256()
        out.write(write_headers(entry))
        for piece in data:
            hashed.update(piece)
            out.write(piece)
        out.write(padding(entry.stored))
        follows = entry.kind is None and entry.target in written
        if base.get(name) == _mark(entry, hashed.digest()) and not follows:
            out.seek(start)
            out.truncate()
        else:
            written.add(name)
    for name in sorted(base.keys() - seen):
        parent, _, last = name.rpartition(b"/")
        if parent in directories:
            path = parent + b"/" + _WHITEOUT + last if parent else _WHITEOUT + last
            out.write(write_headers(Entry(path, Kind.FILE, (0o644, 0, 0), 0, 0)))
    out.write(END)


def _entries(archive: ByteRange, line: Lifeline) -> Iterator[tuple[Entry, Iterator[memoryview]]]:
    """The entries of a tree with plain names, and the stored data of each, which are skipped unless the caller reads
    them."""
    buffer = memoryview(bytearray(_CHUNK_BYTES))

    def next_chunk() -> memoryview | None:
        line.check()
        got = archive.readinto(buffer)
        return buffer[:got] if got else None

    archive.seek(0)
    cursor, budget = Cursor(next_chunk), Budget(Limits())
    names: set[bytes] = set()
    for entry in read_entries(cursor, budget.limits, _keeps, to_its_end=True):
        budget.spend_entry(entry.metadata_bytes(budget.limits))
        entry.path = _plain_name(entry.path)
        if entry.kind is None:
            entry.target = _plain_name(entry.target)
        data = cursor.pieces(entry.stored)
        if entry.path in names:
            raise Refused("its name is there twice", entry.path)
        names.add(entry.path)
        if not is_left_out(entry.path):
            yield entry, data
        for _ in data:
            pass
        cursor.skip_padding(entry.stored)


def is_left_out(path: bytes) -> bool:
    """Whether a plain path belongs to one machine, and not to what it made of its image."""
    return not path or path in _OWN or path.startswith(_MOUNTED)


def _keeps(name: bytes) -> bool:
    return can_store(name) and b"=" not in name


def _plain_name(path: bytes) -> bytes:
    """A name without "./" in front. Raises `Refused` for a name that leads elsewhere."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise Refused("its name leads out of the tree", path)
    return b"/".join(parts)


def _refuse_whiteout(name: bytes) -> None:
    if name.rpartition(b"/")[2].startswith(_WHITEOUT):
        raise Error(
            "image_invalid",
            f"a layer cannot have a file '{printable(name)}': names that begin with .wh. mean deletions there",
            "rename the file, and commit the machine again",
        )


def _digest(data: Iterator[memoryview]) -> bytes:
    hashed = hashlib.sha256()
    for piece in data:
        hashed.update(piece)
    return hashed.digest()


def _mark(entry: Entry, digest: bytes) -> _Mark:
    """Of a hard link only its target counts: the rest is that of the file."""
    if entry.kind is None:
        return (None, entry.target)
    time_ns = 0 if entry.kind is Kind.DIRECTORY else entry.mtime_ns
    xattrs = tuple(sorted((entry.xattrs or {}).items()))
    owner = (entry.mode, entry.uid, entry.gid)
    shape = (entry.size, entry.segments)  # the same data may be in another place of a file with holes
    return (entry.kind, owner, time_ns, shape, entry.target, entry.device, xattrs, digest)
