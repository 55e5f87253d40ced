"""Extended headers: records of `length key=value\\n` that replace or add to an entry's fields.

Kept are the keys that say something about a file on a disk; times other than mtime, names of users and comments
are not. Global extended headers are ignored, as other container engines do, and so are extended attributes that the
disk's file system has no place for.

Source: POSIX.1-2017 pax, "pax Extended Header"; SCHILY.xattr of star(5).
"""

from __future__ import annotations

from banger.images.ext4 import can_store
from banger.images.merge.failure import Corrupt, Refused

XATTR = b"SCHILY.xattr."
_MAX_LENGTH_DIGITS = 8
_NANO_DIGITS = 9
_SECONDS_LIMIT = 1 << 63


class Overrides:
    """What extended headers say about the entry that follows; None where they are silent."""

    __slots__ = ("gid", "mtime_ns", "path", "size", "sparse", "target", "uid", "xattrs")

    def __init__(self) -> None:
        self.path: bytes | None = None
        self.target: bytes | None = None
        self.size: int | None = None
        self.uid: int | None = None
        self.gid: int | None = None
        self.mtime_ns: int | None = None
        self.xattrs: dict[bytes, bytes] | None = None
        self.sparse: list[tuple[bytes, bytes]] | None = None
        """GNU.sparse records without that prefix, in order: some keys repeat."""


def parse_records(data: bytes, overrides: Overrides) -> None:
    """Read an extended header into `overrides`. Raises `Corrupt`, `Refused`."""
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
        apply_record(overrides, data[blank + 1 : equals], data[equals + 1 : end - 1])
        position = end


def apply_record(overrides: Overrides, key: bytes, value: bytes) -> None:
    if key.startswith(XATTR):
        _add_xattr(overrides, key[len(XATTR) :], value)
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
        overrides.uid = parse_decimal(value) if value else None
    elif key == b"gid":
        overrides.gid = parse_decimal(value) if value else None


def parse_decimal(value: bytes) -> int:
    """Digits only, below 2^63."""
    if not value.isdigit() or len(value) > 19 or (number := int(value)) >= _SECONDS_LIMIT:
        raise Corrupt(f"an extended header has the number {value[:40]!r}")
    return number


def parse_time_ns(value: bytes) -> int:
    """Decimal seconds, possibly negative, with any number of decimals; what is finer than a nanosecond is cut off."""
    negative = value.startswith(b"-")
    seconds, _, decimals = value[negative:].partition(b".")
    if not (seconds or decimals) or (decimals and not decimals.isdigit()):
        raise Corrupt(f"an extended header has the time {value[:40]!r}")
    nanoseconds = int(decimals[:_NANO_DIGITS].ljust(_NANO_DIGITS, b"0"))
    total = parse_decimal(seconds or b"0") * 1_000_000_000 + nanoseconds
    return -total if negative else total


def _add_xattr(overrides: Overrides, name: bytes, value: bytes) -> None:
    """An empty value is one: unlike the other keys', it does not mean "not given"."""
    if not name or len(name) > 255 or b"\0" in name:
        raise Refused(f"an extended attribute is called {name[:40]!r}")
    if not can_store(name):
        return
    if overrides.xattrs is None:
        overrides.xattrs = {}
    overrides.xattrs[name] = value


def check_name(value: bytes) -> bytes:
    """Raises `Refused` for a NUL, which no file's name has."""
    if b"\0" in value:
        raise Refused("its name or its target has a NUL in it", value)
    return value
