"""Extended headers: records of `length key=value\\n` that replace or add to an entry's fields.

Kept are the keys that say something about a file on a disk; times other than mtime, names of users and comments
are not. Global extended headers are ignored, as other container engines do, and so are extended attributes that who
reads has no place for.

Source: POSIX.1-2017 pax, "pax Extended Header"; SCHILY.xattr of star(5); LIBARCHIVE.xattr of tar(5).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from banger.tar.failure import Corrupt, Refused

XATTR = b"SCHILY.xattr."
_LIBARCHIVE_XATTR = b"LIBARCHIVE.xattr."
_MAX_LENGTH_DIGITS = 8
_NANO_DIGITS = 9
_SECONDS_LIMIT = 1 << 63


class Overrides:
    """What extended headers say about the entry that follows; None where they are silent. `long_path` and
    `long_target` are GNU's, with a header each."""

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
        self.sparse: list[tuple[bytes, bytes]] | None = None
        """GNU.sparse records without that prefix, in order: some keys repeat."""


def parse_records(data: bytes, overrides: Overrides, keeps: Callable[[bytes], bool]) -> Overrides:
    """Read an extended header into `overrides`; these. `keeps` says which extended attributes by their names. NULs may
    follow the last record. Raises `Corrupt`, `Refused`."""
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
    elif key.startswith(b"GNU.sparse."):
        overrides.sparse = overrides.sparse or []
        overrides.sparse.append((key[len(b"GNU.sparse.") :], value))
    elif key == b"path":
        overrides.path = check_name(value) or None
    elif key == b"linkpath":
        overrides.target = check_name(value) or None
    elif key == b"mtime":
        overrides.mtime_ns = parse_time_ns(value) if value else None
    elif key == b"size":
        overrides.size = parse_decimal(value) if value else None
    elif key == b"uid":
        overrides.uid = _parse_signed(value) if value else None
    elif key == b"gid":
        overrides.gid = _parse_signed(value) if value else None
    elif key == b"SCHILY.devmajor":
        overrides.major = parse_decimal(value) if value else None
    elif key == b"SCHILY.devminor":
        overrides.minor = parse_decimal(value) if value else None
    elif key.startswith(_LIBARCHIVE_XATTR):
        _add_coded_xattr(overrides, key[len(_LIBARCHIVE_XATTR) :], value, keeps)


def parse_decimal(value: bytes) -> int:
    """Digits only, below 2^63. Any number of zeros may come first."""
    digits = value.lstrip(b"0")
    if not value.isdigit() or len(digits) > 19 or (number := int(digits or b"0")) >= _SECONDS_LIMIT:
        raise Corrupt(f"an extended header has the number {value[:40]!r}")
    return number


def _parse_signed(value: bytes) -> int:
    return -parse_decimal(value[1:]) if value.startswith(b"-") else parse_decimal(value)


def parse_time_ns(value: bytes) -> int:
    """Decimal seconds, possibly negative, with any number of decimals; what is finer than a nanosecond is cut off."""
    negative = value.startswith(b"-")
    seconds, _, decimals = value[negative:].partition(b".")
    if not (seconds or decimals) or (decimals and not decimals.isdigit()):
        raise Corrupt(f"an extended header has the time {value[:40]!r}")
    nanoseconds = int(decimals[:_NANO_DIGITS].ljust(_NANO_DIGITS, b"0"))
    total = parse_decimal(seconds or b"0") * 1_000_000_000 + nanoseconds
    return -total if negative else total


def _add_xattr(overrides: Overrides, name: bytes, value: bytes, keeps: Callable[[bytes], bool]) -> None:
    """An empty value is one: unlike the other keys', it does not mean "not given"."""
    if not name or len(name) > 255 or b"\0" in name:
        raise Refused(f"an extended attribute is called {name[:40]!r}")
    if not keeps(name):
        return
    if overrides.xattrs is None:
        overrides.xattrs = {}
    overrides.xattrs[name] = value


def _add_coded_xattr(overrides: Overrides, name: bytes, value: bytes, keeps: Callable[[bytes], bool]) -> None:
    """libarchive's form: the name with percent signs as in addresses, the value in base 64. Mostly beside the other
    form, which counts."""
    name = unquote_to_bytes(name)
    if overrides.xattrs is not None and name in overrides.xattrs:
        return
    try:
        plain = b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except ValueError as exc:
        raise Corrupt(f"an extended header has the attribute {value[:40]!r}") from exc
    _add_xattr(overrides, name, plain, keeps)


def check_name(value: bytes) -> bytes:
    """Raises `Refused` for a NUL, which no file's name has."""
    if b"\0" in value:
        raise Refused("its name or its target has a NUL in it", value)
    return value
