"""One block of a tar archive that heads an entry: fields, checksum, numbers.

    name 100 | mode 8 | uid 8 | gid 8 | size 12 | mtime 12 | checksum 8 | type 1 | link name 100
    | magic and version 8 | user 32 | group 32 | major 8 | minor 8 | prefix 155 | 12

Sources: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format" (base-256 numbers).
What is accepted beyond them is what Go's archive/tar accepts, with which images are made and read.
"""

from __future__ import annotations

from struct import Struct

from isal.isal_zlib import adler32

from banger.tar.failure import Corrupt

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)
# Mode, uid and gid are one field here: few combinations occur, so one look-up replaces three parsings.
HEADER = Struct("100s24s12s12s8sc100s8s64x16s155s12x")
_USTAR, _GNU = b"ustar\0", b"ustar  \0"
_STAR, _STAR_AT, _STAR_PREFIX = b"tar\0", 508, 131

_ADLER_BASE = 65521
_NUMBER_LIMIT = 1 << 63


def checksum_matches(block: memoryview, field: bytes) -> bool:
    """Whether the checksum in `field` is right: the sum of the block's bytes, with the field itself as blanks.

    Adler-32's lower half is one plus the sum of the bytes modulo 65521, which is 20 times faster than adding in Python.
    A wrong sum that differs by exactly that much takes hundreds of wrong bytes, which the diff-id finds."""
    try:
        claimed = parse_number(field)
    except Corrupt:
        return False
    if (claimed + sum(field) - 255) % _ADLER_BASE == adler32(block) & 0xFFFF:
        return True
    # Old programs added signed bytes.
    signed = sum(block.cast("b")) - sum(memoryview(field).cast("b")) + 8 * 0x20
    return claimed == signed


def parse_number(field: bytes) -> int:
    """An octal number with blanks or NULs around it, or a base-256 number. Raises `Corrupt`."""
    if field[0] & 0x80:
        return _parse_base256(field)
    digits = field.strip(b"\0 ").partition(b"\0")[0].rstrip(b" ")
    if not digits:
        return 0
    if not digits.isdigit():
        raise Corrupt(f"a number of the header is {field!r}")
    try:
        return int(digits, 8)
    except ValueError as exc:
        raise Corrupt(f"a number of the header is {field!r}") from exc


def _parse_base256(field: bytes) -> int:
    """Two's complement; the highest bit marks the form."""
    value = int.from_bytes(field, "big")
    bits = 8 * len(field) - 1
    value &= (1 << bits) - 1
    if field[0] & 0x40:
        value -= 1 << bits
    if not -_NUMBER_LIMIT <= value < _NUMBER_LIMIT:
        raise Corrupt("a number of the header is beyond 64 bits")
    return value


def c_string(field: bytes) -> bytes:
    """The bytes before the first NUL."""
    return field.partition(b"\0")[0]


def read_prefix(magic: bytes, prefix: bytes, block: memoryview) -> bytes:
    """The part of the name that POSIX keeps in 155 bytes of its own. star keeps times at their end, and GNU tar has two
    times there instead; but there are archives with GNU's mark and a prefix, from Go before 1.8."""
    if magic[:6] == _USTAR:
        return c_string(prefix[:_STAR_PREFIX] if block[_STAR_AT:] == _STAR else prefix)
    if magic != _GNU:
        return b""
    try:
        _ = parse_number(prefix[:12]), parse_number(prefix[12:24])
    except Corrupt:
        above = c_string(prefix)
        return above if above.isascii() else b""
    return b""


def parse_owner(field: bytes) -> tuple[int, int, int]:
    """(mode, uid, gid) from the 24 bytes with these fields."""
    return parse_number(field[:8]), parse_number(field[8:16]), parse_number(field[16:])
