"""Entries → header blocks in POSIX's format. Values that do not fit into its fields go into an extended header before
it.

Files with holes have GNU's form 1.0, with a map before the data. The caller writes the data, and zeros up to a whole
block.
"""

from __future__ import annotations

from banger.tar.entry import Entry
from banger.tar.header import BLOCK, HEADER
from banger.tar.kind import Kind
from banger.tar.pax import XATTR

END = bytes(2 * BLOCK)
_MAGIC = b"ustar\x0000"
_FLAGS = {
    None: b"1",
    Kind.FILE: b"0",
    Kind.SYMLINK: b"2",
    Kind.CHAR: b"3",
    Kind.BLOCK: b"4",
    Kind.DIRECTORY: b"5",
    Kind.FIFO: b"6",
}
_EXTENDED = b"@PaxHeader"
_NAME_BYTES = 100
_SECOND_NS = 1_000_000_000


def padding(size: int) -> bytes:
    """The zeros after `size` bytes of data."""
    return bytes(-size % BLOCK)


def write_headers(entry: Entry) -> bytes:
    """All blocks before the data of the entry. The name of an extended attribute must not contain "="."""
    records: list[tuple[bytes, bytes]] = []
    path = entry.path
    if entry.kind is Kind.DIRECTORY and not path.endswith(b"/"):
        path += b"/"
    sparse_map = _sparse_map(entry)
    if entry.segments is not None:
        records += (
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", path),
            (b"GNU.sparse.realsize", b"%d" % entry.size),
        )
    block = _block(
        _FLAGS[entry.kind],
        _text(b"path", path, records),
        _owner(entry, records),
        _number(b"size", len(sparse_map) + entry.stored, 12, records),
        _time(entry.mtime_ns, records),
        _text(b"linkpath", entry.target, records),
        b"%07o\0%07o\0" % entry.device,
    )
    records += ((XATTR + name, value) for name, value in (entry.xattrs or {}).items())
    return _extended_header(records) + block + sparse_map


def _owner(entry: Entry, records: list[tuple[bytes, bytes]]) -> bytes:
    uid, gid = (_number(key, getattr(entry, key.decode()), 8, records) for key in (b"uid", b"gid"))
    return b"%07o\0" % entry.mode + uid + gid


def _extended_header(records: list[tuple[bytes, bytes]]) -> bytes:
    if not records:
        return b""
    data = b"".join(_record(key, value) for key, value in records)
    owner = b"%07o\0%07o\0%07o\0" % (0o600, 0, 0)
    block = _block(b"x", _EXTENDED, owner, b"%011o\0" % len(data), b"%011o\0" % 0, b"", bytes(16))
    return block + data + padding(len(data))


def _record(key: bytes, value: bytes) -> bytes:
    """A record, whose length at the front counts itself, too."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _block(
    flag: bytes, name: bytes, owner: bytes, size: bytes, mtime: bytes, target: bytes, device: bytes
) -> bytes:
    fields = (flag, target, _MAGIC, device, b"")
    blank = HEADER.pack(name, owner, size, mtime, b" " * 8, *fields)
    return HEADER.pack(name, owner, size, mtime, b"%06o\0 " % sum(blank), *fields)


def _text(key: bytes, value: bytes, records: list[tuple[bytes, bytes]]) -> bytes:
    """A text for a field; only its beginning if it is too long: some readers do not know extended headers."""
    if len(value) > _NAME_BYTES:
        records.append((key, value))
    return value[:_NAME_BYTES]


def _number(key: bytes, value: int, width: int, records: list[tuple[bytes, bytes]]) -> bytes:
    if not 0 <= value < 8 ** (width - 1):
        records.append((key, b"%d" % value))
        value = 0
    return b"%0*o\0" % (width - 1, value)


def _time(time_ns: int, records: list[tuple[bytes, bytes]]) -> bytes:
    if time_ns % _SECOND_NS == 0:
        return _number(b"mtime", time_ns // _SECOND_NS, 12, records)
    seconds, nanoseconds = divmod(abs(time_ns), _SECOND_NS)
    records.append((b"mtime", b"%s%d.%09d" % (b"-" if time_ns < 0 else b"", seconds, nanoseconds)))
    return b"%011o\0" % max(0, time_ns // _SECOND_NS)


def _sparse_map(entry: Entry) -> bytes:
    """The number of stretches, and the place of each. An empty one at the end gives the length of the file, as in GNU
    tar."""
    if entry.segments is None:
        return b""
    stretches = [*entry.segments, (entry.size, 0)]
    lines = b"%d\n" % len(stretches) + b"".join(b"%d\n%d\n" % stretch for stretch in stretches)
    return lines + padding(len(lines))
