"""Values of records: numbers, times and names."""

from __future__ import annotations

from banger.tar.failure import Corrupt, Refused

_NANO_DIGITS = 9
_NUMBER_LIMIT = 1 << 63


def parse_decimal(value: bytes) -> int:
    """Digits only, below 2^63. Any number of zeros may precede them."""
    digits = value.lstrip(b"0")
    if not value.isdigit() or len(digits) > 19 or (number := int(digits or b"0")) >= _NUMBER_LIMIT:
        raise Corrupt(f"an extended header has the number {value[:40]!r}")
    return number


def parse_signed(value: bytes) -> int:
    return -parse_decimal(value[1:]) if value.startswith(b"-") else parse_decimal(value)


def parse_time_ns(value: bytes) -> int:
    """Decimal seconds, possibly negative, with any number of decimals, cut to nanoseconds."""
    negative = value.startswith(b"-")
    seconds, _, decimals = value[negative:].partition(b".")
    if not (seconds or decimals) or (decimals and not decimals.isdigit()):
        raise Corrupt(f"an extended header has the time {value[:40]!r}")
    nanoseconds = int(decimals[:_NANO_DIGITS].ljust(_NANO_DIGITS, b"0"))
    total = parse_decimal(seconds or b"0") * 1_000_000_000 + nanoseconds
    return -total if negative else total


def check_name(value: bytes) -> bytes:
    """Raises `Refused` for a NUL, which no name of a file can contain."""
    if b"\0" in value:
        raise Refused("its name or its target has a NUL in it", value)
    return value
