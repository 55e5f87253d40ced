"""Extended headers: records of `length key=value\\n` that replace or add to an entry's fields.

Keys that describe a file on a disk are kept; times other than mtime, names of users and comments are not. Global
extended headers are ignored, as in other container engines, and so are extended attributes for which the caller has no
place.

Source: POSIX.1-2017 pax, "pax Extended Header"; SCHILY.xattr of star(5); LIBARCHIVE.xattr of tar(5).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from banger.tar.failure import Corrupt, Refused
from banger.tar.record_values import check_name, parse_decimal, parse_signed, parse_time_ns
from banger.tar.sparse import SparseRecords

XATTR = b"SCHILY.xattr."
_SPARSE = b"GNU.sparse."
_LIBARCHIVE_XATTR = b"LIBARCHIVE.xattr."
_MAX_LENGTH_DIGITS = 8


class Overrides:
    """The values that extended headers give for the next entry; None for values that they do not give. `long_path` and
    `long_target` are GNU's, which have a header each."""

    __slots__ = (
        "gid",
        "long_path",
        "long_target",
        "major",
        "minor",
        "mtime_ns",
        "path",
        "size",
        "sparse",
        "target",
        "uid",
        "xattrs",
    )

    def __init__(self, long_path: bytes | None = None, long_target: bytes | None = None) -> None:
        self.long_path = long_path
        self.long_target = long_target
        self.major: int | None = None
        self.minor: int | None = None
        self.path: bytes | None = None
        self.target: bytes | None = None
        self.size: int | None = None
        self.uid: int | None = None
        self.gid: int | None = None
        self.mtime_ns: int | None = None
        self.xattrs: dict[bytes, bytes] | None = None
        self.sparse: SparseRecords | None = None


def parse_records(data: bytes, overrides: Overrides, keeps: Callable[[bytes], bool]) -> Overrides:
    """Read an extended header into `overrides`, and return them. `keeps` tells, by name, which extended attributes to
    keep. NULs may follow the last record. Raises `Corrupt`, `Refused`."""
    data = data.rstrip(b"\0")
    position = 0
    while position < len(data):
        blank = data.find(b" ", position, position + _MAX_LENGTH_DIGITS + 1)
        digits = data[position:blank]
        if blank < 0 or not digits.isdigit():
            raise Corrupt("an extended header has a record without a length")
        end = position + int(digits)
        equals = data.find(b"=", blank + 1, end - 1)
        if end > len(data) or equals <= blank + 1 or data[end - 1] != 0x0A:
            raise Corrupt("an extended header has a record of the wrong length")
        apply_record(overrides, data[blank + 1 : equals], data[equals + 1 : end - 1], keeps)
        position = end
    return overrides


def apply_record(overrides: Overrides, key: bytes, value: bytes, keeps: Callable[[bytes], bool]) -> None:
    if key.startswith(XATTR):
        _add_xattr(overrides, key[len(XATTR) :], value, keeps)
    elif key.startswith(_SPARSE):
        overrides.sparse = overrides.sparse or SparseRecords()
        overrides.sparse.take(key[len(_SPARSE) :], value)
    elif key == b"path":
        overrides.path = check_name(value) or None
    elif key == b"linkpath":
        overrides.target = check_name(value) or None
    elif key == b"mtime":
        overrides.mtime_ns = parse_time_ns(value) if value else None
    elif key == b"size":
        overrides.size = parse_decimal(value) if value else None
    elif key == b"uid":
        overrides.uid = parse_signed(value) if value else None
    elif key == b"gid":
        overrides.gid = parse_signed(value) if value else None
    elif key == b"SCHILY.devmajor":
        overrides.major = parse_decimal(value) if value else None
    elif key == b"SCHILY.devminor":
        overrides.minor = parse_decimal(value) if value else None
    elif key.startswith(_LIBARCHIVE_XATTR):
        _add_coded_xattr(overrides, key[len(_LIBARCHIVE_XATTR) :], value, keeps)


def _add_xattr(overrides: Overrides, name: bytes, value: bytes, keeps: Callable[[bytes], bool]) -> None:
    """Add an attribute. An empty value is valid: only for other keys does it mean "not given"."""
    if not name or len(name) > 255 or b"\0" in name:
        raise Refused(f"an extended attribute is called {name[:40]!r}")
    if not keeps(name):
        return
    if overrides.xattrs is None:
        overrides.xattrs = {}
    overrides.xattrs[name] = value


def _add_coded_xattr(overrides: Overrides, name: bytes, value: bytes, keeps: Callable[[bytes], bool]) -> None:
    """Add an attribute in libarchive's form: the name is percent-encoded, the value in base 64. Most archives have the
    other form, too, which counts."""
    name = unquote_to_bytes(name)
    if overrides.xattrs is not None and name in overrides.xattrs:
        return
    digits = value.rstrip(b"=")
    missing = -len(digits) % 4
    try:
        if len(value) - len(digits) > missing:
            raise ValueError("too much padding")
        plain = b64decode(digits + b"=" * missing, validate=True)
    except ValueError as exc:
        raise Corrupt(f"an extended header has the attribute {value[:40]!r}") from exc
    _add_xattr(overrides, name, plain, keeps)
