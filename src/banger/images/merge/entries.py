"""A tar stream → entries, one after the other, each checked by itself.

Where an entry lies in a tree, and whether that is allowed, is not decided here. What archives may look like at
their end is as Go's archive/tar has it: two blocks of zeros, or one, or none; what follows two is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator

from banger.images.merge.cursor import Cursor
from banger.images.merge.failure import Corrupt, LayerFailure, Refused, TooLarge
from banger.images.merge.limits import Limits
from banger.images.merge.pax import Overrides, parse_records
from banger.images.merge.sparse import Segments, read_old_map, read_pax_map
from banger.images.merge.tar_header import (
    HEADER,
    USTAR,
    ZERO_BLOCK,
    c_string,
    checksum_matches,
    parse_number,
    parse_owner,
)
from banger.images.tree import Kind

_EXTENSION_BYTES = 1 << 20
_EXTENSIONS_IN_A_ROW = 16
_TARGET_BYTES = 4095
_ID_LIMIT = 1 << 32
_DEVICE_LIMIT = 1 << 20
_MEMO_LIMIT = 4096
_SECOND_NS = 1_000_000_000

_FILE_TYPES = frozenset((b"0", b"\0", b"7", b"S"))
_EXTENSION_TYPES = frozenset((b"x", b"g", b"L", b"K"))
_LINK = b"1"
_KINDS = {
    b"2": Kind.SYMLINK,
    b"3": Kind.CHAR,
    b"4": Kind.BLOCK,
    b"5": Kind.DIRECTORY,
    b"6": Kind.FIFO,
}


class Entry:
    """`kind` None is a hard link. `path` and `target` are as the archive has them. `size` is the file's, `stored` how
    many bytes of it follow in the stream, `segments` where they go, None for a file without holes."""

    __slots__ = (
        "device",
        "gid",
        "kind",
        "mode",
        "mtime_ns",
        "path",
        "segments",
        "size",
        "stored",
        "target",
        "uid",
        "xattrs",
    )

    def __init__(
        self, path: bytes, kind: Kind | None, owner: tuple[int, int, int], mtime_ns: int, size: int
    ) -> None:
        self.path = path
        self.kind = kind
        self.mode, self.uid, self.gid = owner
        self.mtime_ns = mtime_ns
        self.size = self.stored = size
        self.target = b""
        self.device = (0, 0)
        self.xattrs: dict[bytes, bytes] | None = None
        self.segments: Segments | None = None


def read_entries(cursor: Cursor, limits: Limits) -> Iterator[Entry]:
    """Between two entries the taker must take the `stored` bytes and the padding, or leave them to `skip_data`.

    Raises `Corrupt`, `Refused`, `TooLarge`."""
    owners: dict[bytes, tuple[int, int, int]] = {}
    overrides: Overrides | None = None
    extensions = 0
    while (block := cursor.block()) is not None:
        name, owner_field, size_field, mtime_field, checksum, flag, target, magic, device, prefix = (
            HEADER.unpack_from(block)
        )
        if not name[0] and block == ZERO_BLOCK:
            _check_end(cursor)
            break
        if not checksum_matches(block, checksum):
            raise Corrupt("a header's checksum is wrong")
        path = c_string(name)
        if prefix[0] and magic[:6] == USTAR:
            path = c_string(prefix) + b"/" + path
        try:
            size = parse_number(size_field)
            if size < 0:
                raise Corrupt(f"its size is {size}")
            if flag in _EXTENSION_TYPES:
                extensions += 1
                overrides = _read_extension(cursor, flag, size, overrides or Overrides(), extensions)
                continue
            owner = owners.get(owner_field)
            if owner is None:
                if len(owners) > _MEMO_LIMIT:
                    owners.clear()
                owner = owners[owner_field] = _check_owner(parse_owner(owner_field))
            mtime_ns = parse_number(mtime_field) * _SECOND_NS
            if flag in _FILE_TYPES and overrides is None and flag != b"S" and path[-1:] != b"/":
                entry = Entry(path, Kind.FILE, owner, mtime_ns, size)
            else:
                entry = Entry(path, None, owner, mtime_ns, size)
                entry.target = c_string(target)
                _complete(entry, flag, device, block, overrides, cursor)
                overrides = None
            if entry.size > limits.file_bytes:
                raise TooLarge(f"its length is {entry.size}; {limits.file_bytes} bytes are possible")
        except LayerFailure as exc:
            exc.entry = exc.entry or (overrides and overrides.path) or path
            raise
        extensions = 0
        yield entry
    if overrides is not None:
        raise Corrupt("ends with an extended header that belongs to nothing")


def skip_data(cursor: Cursor, entry: Entry) -> None:
    """Leave an entry's data and its padding."""
    cursor.skip(entry.stored)
    cursor.skip_padding(entry.stored)


def _check_end(cursor: Cursor) -> None:
    block = cursor.block()
    if block is not None and block != ZERO_BLOCK:
        raise Corrupt("goes on after a block of zeros")


def _check_owner(owner: tuple[int, int, int]) -> tuple[int, int, int]:
    mode, uid, gid = owner
    if not (0 <= uid < _ID_LIMIT and 0 <= gid < _ID_LIMIT and mode >= 0):
        raise Corrupt(f"its mode, owner or group is out of range: {mode:o}, {uid}, {gid}")
    return mode & 0o7777, uid, gid


def _read_extension(cursor: Cursor, flag: bytes, size: int, overrides: Overrides, count: int) -> Overrides:
    """Take what precedes an entry to say more about it."""
    if size > _EXTENSION_BYTES:
        raise TooLarge(f"an extended header has {size} bytes")
    if count > _EXTENSIONS_IN_A_ROW:
        raise Refused(f"more than {_EXTENSIONS_IN_A_ROW} extended headers in a row")
    data = cursor.read(size)
    cursor.skip_padding(size)
    if flag == b"x":
        parse_records(data, overrides)
    elif flag == b"L":
        overrides.path = c_string(data)
    elif flag == b"K":
        overrides.target = c_string(data)
    return overrides


def _complete(
    entry: Entry, flag: bytes, device: bytes, block: memoryview, overrides: Overrides | None, cursor: Cursor
) -> None:
    """What a plain file does not need: other types, extended headers, holes."""
    if overrides is not None:
        _apply(entry, overrides)
    if flag in _FILE_TYPES:
        entry.kind = Kind.FILE
        _complete_file(entry, flag, bytes(block), overrides, cursor)
    elif flag == _LINK:
        entry.size = entry.stored = 0
        _check_target(entry)
    elif flag in _KINDS:
        entry.kind = _KINDS[flag]
        entry.size = entry.stored = 0
        if entry.kind is Kind.SYMLINK:
            _check_target(entry)
        elif entry.kind in (Kind.CHAR, Kind.BLOCK):
            entry.device = _parse_device(device)
    else:
        raise Refused(f"its type {flag!r} is not one that a disk could hold")


def _apply(entry: Entry, overrides: Overrides) -> None:
    if overrides.path is not None:
        entry.path = overrides.path
    if overrides.target is not None:
        entry.target = overrides.target
    if overrides.size is not None:
        entry.size = entry.stored = overrides.size
    if overrides.mtime_ns is not None:
        entry.mtime_ns = overrides.mtime_ns
    uid = entry.uid if overrides.uid is None else overrides.uid
    gid = entry.gid if overrides.gid is None else overrides.gid
    entry.mode, entry.uid, entry.gid = _check_owner((entry.mode, uid, gid))
    entry.xattrs = overrides.xattrs


def _complete_file(
    entry: Entry, flag: bytes, block: bytes, overrides: Overrides | None, cursor: Cursor
) -> None:
    if flag == b"S":
        entry.size, entry.segments = read_old_map(block, cursor, entry.stored)
    elif overrides is not None and overrides.sparse is not None:
        found = read_pax_map(overrides, cursor, entry.stored)
        if found is not None:
            entry.size, entry.stored, entry.segments = found
            entry.path = overrides.path or entry.path
    if entry.path.endswith(b"/") and flag != b"S":
        # Before POSIX directories had no type of their own.
        entry.kind = Kind.DIRECTORY
        if entry.stored:
            raise Corrupt("a directory with data")


def _parse_device(field: bytes) -> tuple[int, int]:
    major, minor = parse_number(field[:8]), parse_number(field[8:])
    if not (0 <= major < _DEVICE_LIMIT and 0 <= minor < _DEVICE_LIMIT):
        raise Corrupt(f"its device number is {major}:{minor}")
    return major, minor


def _check_target(entry: Entry) -> None:
    if not 0 < len(entry.target) <= _TARGET_BYTES:
        raise Refused(f"it is a link to a name of {len(entry.target)} bytes")
