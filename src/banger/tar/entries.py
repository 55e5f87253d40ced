"""A tar stream → entries, one after the other, each checked by itself.

The place of an entry in a tree, and whether that is allowed, is decided elsewhere. The end of an archive is as in Go's
archive/tar: two blocks of zeros, one, or none; bytes after two are ignored. A caller who has to know that the archive
is complete asks for both blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from banger.tar.cursor import Cursor
from banger.tar.entry import Entry
from banger.tar.failure import Corrupt, Refused, TarFailure, TooLarge
from banger.tar.header import (
    HEADER,
    ZERO_BLOCK,
    c_string,
    checksum_matches,
    parse_number,
    parse_owner,
    read_prefix,
)
from banger.tar.kind import Kind
from banger.tar.limits import TarLimits
from banger.tar.pax import Overrides, parse_records
from banger.tar.sparse import read_old_map

_ID_LIMIT = 1 << 32
# The limits of Linux and ext4; mknod(2) would cut larger numbers.
_MAJOR_LIMIT, _MINOR_LIMIT = 1 << 12, 1 << 20
_MEMO_LIMIT = 4096
_SECOND_NS = 1_000_000_000

_PLAIN_TYPES = frozenset((b"0", b"\0", b"7"))
_OLD_FILE = b"\0"
_SPARSE = b"S"
_PAX_TYPES = frozenset((b"x", b"X"))  # the second one is Solaris'
_EXTENSION_TYPES = _PAX_TYPES | {b"g", b"L", b"K"}
# The label of an archive, and access lists of Solaris.
_REMARK_TYPES = frozenset((b"V", b"A"))
_LINK = b"1"
_LINKS = frozenset((_LINK, b"2"))
_DUMPED_DIRECTORY = b"D"  # its data are the names in the directory
_PARTIAL_TYPES = {b"M": "the rest of a file that another volume begins", b"N": "a table of names"}
_KINDS = {
    b"2": Kind.SYMLINK,
    b"3": Kind.CHAR,
    b"4": Kind.BLOCK,
    b"5": Kind.DIRECTORY,
    b"6": Kind.FIFO,
}


def read_entries(
    cursor: Cursor, limits: TarLimits, keeps: Callable[[bytes], bool], to_its_end: bool = False
) -> Iterator[Entry]:
    """The entries of a stream. Before the next entry, the caller must read the `stored` bytes and the padding, or call
    `skip_data`.

    `keeps` tells whether the caller has a place for an extended attribute of a name; other attributes are left out.
    `to_its_end`: an archive without its two last blocks counts as truncated. Raises `Corrupt`, `Refused`,
    `TooLarge`."""
    headers = _Headers(cursor, limits, keeps)
    ended = False
    while (block := cursor.block()) is not None:
        if not block[0] and block == ZERO_BLOCK:
            ended = _check_end(cursor)
            break
        entry = headers.read(block)
        if entry is not None:
            yield entry
    if headers.overrides is not None:
        raise Corrupt("ends with an extended header that belongs to nothing")
    if to_its_end and not ended:
        raise Corrupt("is cut short: its end is missing")


def skip_data(cursor: Cursor, entry: Entry) -> None:
    """Skip the data of an entry and its padding."""
    cursor.skip(entry.stored)
    cursor.skip_padding(entry.stored)


class _Headers:
    """The state from one header to the next. `overrides` belong to the next entry: of several extended headers only the
    last one counts, as in other readers. GNU's long names are kept beside them."""

    __slots__ = ("_cursor", "_extensions", "_keeps", "_limits", "_owners", "overrides")

    def __init__(self, cursor: Cursor, limits: TarLimits, keeps: Callable[[bytes], bool]) -> None:
        self._cursor = cursor
        self._keeps = keeps
        self._limits = limits
        self._owners: dict[bytes, tuple[int, int, int]] = {}
        self._extensions = 0
        self.overrides: Overrides | None = None

    def read(self, block: memoryview) -> Entry | None:
        """The entry whose header is `block`; None if the block only describes the next entry."""
        name, owner, size, mtime, checksum, flag, target, magic, device, prefix = HEADER.unpack_from(block)
        if not checksum_matches(block, checksum):
            raise Corrupt("a header's checksum is wrong")
        path = c_string(name)
        if prefix[0] and (above := read_prefix(magic, prefix, block)):
            path = above + b"/" + path
        try:
            length = parse_number(size)
            if length < 0:
                raise Corrupt(f"its size is {length}")
            if flag in _EXTENSION_TYPES:
                self._read_extension(flag, length)
                return None
            if flag in _REMARK_TYPES:
                self._cursor.skip(length)
                self._cursor.skip_padding(length)
                return None
            entry = Entry(path, Kind.FILE, self._owner(owner), parse_number(mtime) * _SECOND_NS, length)
            if flag not in _PLAIN_TYPES or self.overrides is not None or path[-1:] == b"/":
                entry.target = c_string(target)
                _complete(entry, flag, device, block, self.overrides, self._cursor)
                if flag in _LINKS and not 0 < len(entry.target) <= self._limits.target_bytes:
                    raise Refused(f"it is a link to a name of {len(entry.target)} bytes")
                self.overrides = None
            if entry.size > self._limits.file_bytes:
                raise TooLarge(f"its length is {entry.size}; {self._limits.file_bytes} bytes are possible")
        except TarFailure as exc:
            exc.entry = exc.entry or (self.overrides and self.overrides.path) or path
            raise
        return entry

    def _owner(self, field: bytes) -> tuple[int, int, int]:
        """(mode, uid, gid)"""
        owner = self._owners.get(field)
        if owner is None:
            if len(self._owners) > _MEMO_LIMIT:
                self._owners.clear()
            owner = self._owners[field] = _check_owner(parse_owner(field))
        return owner

    def _read_extension(self, flag: bytes, size: int) -> None:
        """Read a block that describes the next entry."""
        self._extensions += 1
        if size > self._limits.header_bytes:
            raise TooLarge(f"an extended header has {size} bytes")
        if self._extensions > self._limits.entries:
            raise TooLarge(f"more than {self._limits.entries} extended headers")
        data = self._cursor.read(size)
        self._cursor.skip_padding(size)
        if flag == b"g":
            return
        before = self.overrides or Overrides()
        if flag in _PAX_TYPES:
            self.overrides = parse_records(data, Overrides(before.long_path, before.long_target), self._keeps)
            return
        self.overrides = before
        if flag == b"L":
            before.long_path = c_string(data)
        else:
            before.long_target = c_string(data)


def _check_end(cursor: Cursor) -> bool:
    """Check that the second block of zeros is there."""
    block = cursor.block()
    if block is not None and block != ZERO_BLOCK:
        raise Corrupt("goes on after a block of zeros")
    return block is not None


def _check_owner(owner: tuple[int, int, int]) -> tuple[int, int, int]:
    mode, uid, gid = owner
    if not (min(uid, gid) >= -_ID_LIMIT // 2 and max(uid, gid) < _ID_LIMIT and mode >= 0):
        raise Corrupt(f"its mode, owner or group is out of range: {mode:o}, {uid}, {gid}")
    return mode & 0o7777, _plain_id(uid), _plain_id(gid)


def _plain_id(number: int) -> int:
    """An id as chown(2) takes it: negative numbers are the highest ids. -1 does not change the owner, who is root when
    root extracts."""
    number &= _ID_LIMIT - 1
    return 0 if number == _ID_LIMIT - 1 else number


def _complete(
    entry: Entry, flag: bytes, device: bytes, block: memoryview, overrides: Overrides | None, cursor: Cursor
) -> None:
    """Complete an entry that is not a plain file: other types, extended headers, holes."""
    if overrides is not None:
        _apply(entry, overrides)
    if flag in _PLAIN_TYPES or flag == _SPARSE:
        _complete_file(entry, flag, bytes(block), overrides, cursor)
    elif flag == _DUMPED_DIRECTORY:
        entry.kind = Kind.DIRECTORY
        cursor.skip(entry.stored)
        cursor.skip_padding(entry.stored)
        entry.size = entry.stored = 0
    elif flag == _LINK:
        entry.kind = None
        entry.size = entry.stored = 0
    elif flag in _KINDS:
        entry.kind = _KINDS[flag]
        entry.size = entry.stored = 0
        if entry.kind is Kind.SYMLINK:
            entry.mode = 0o777
        elif entry.kind in (Kind.CHAR, Kind.BLOCK):
            entry.device = _parse_device(device, overrides)
    elif flag in _PARTIAL_TYPES:
        raise Refused(f"it is {_PARTIAL_TYPES[flag]}, not a file")
    else:
        raise Refused(f"its type {flag!r} is not one that a disk could hold")


def _apply(entry: Entry, overrides: Overrides) -> None:
    # As Go's archive/tar does, and so all programs that read images.
    entry.path = overrides.long_path or overrides.path or entry.path
    entry.target = overrides.long_target or overrides.target or entry.target
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
    if flag == _SPARSE:
        entry.size, entry.segments = read_old_map(block, cursor, entry.stored)
    elif overrides is not None and (sparse := overrides.sparse) is not None and sparse.describes_holes:
        entry.size, entry.stored, entry.segments = sparse.read_map(cursor, entry.stored)
        entry.path = overrides.long_path or sparse.name or entry.path
    if entry.path.endswith(b"/") and flag != _SPARSE:
        # Before POSIX, directories had no type of their own; some programs gave them a size, but no data.
        entry.kind = Kind.DIRECTORY
        if entry.stored and flag != _OLD_FILE:
            raise Corrupt("a directory with data")
        entry.size, entry.stored, entry.segments = 0, 0, None


def _parse_device(field: bytes, overrides: Overrides | None) -> tuple[int, int]:
    major, minor = (overrides.major, overrides.minor) if overrides is not None else (None, None)
    major = parse_number(field[:8]) if major is None else major
    minor = parse_number(field[8:]) if minor is None else minor
    if not (0 <= major < _MAJOR_LIMIT and 0 <= minor < _MINOR_LIMIT):
        raise Corrupt(f"its device number is {major}:{minor}")
    return major, minor
