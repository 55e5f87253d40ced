"""Sizes in bytes, read from and written for people. Imports nothing, so the CLI can afford it.

`parse_size` and `format_size` are inverses at the unit boundaries.
"""

from __future__ import annotations

from banger.errors import Error

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

_UNITS = {"": MIB, "b": 1, "k": KIB, "m": MIB, "g": GIB, "t": TIB}
_NAMES = ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"))
_LIMIT = 1 << 63


def parse_size(text: str) -> int:
    """Bytes in "4GiB", "4G", "4g", "512MiB", "4KiB", "10B"; a bare number means MiB.

    Fractions are fine where they come to whole bytes ("1.5GiB"). Raises `bad_size`.
    """
    body = text.strip()
    if not body:
        raise _refuse(text, "it is empty")
    if body[0] == "-":
        raise _refuse(text, "a size cannot be negative")
    digits = 0
    while digits < len(body) and (body[digits] in "0123456789."):
        digits += 1
    number, unit = body[:digits], body[digits:].strip().lower()
    if not number or number == ".":
        raise _refuse(text, "it does not start with a number")
    whole, point, fraction = number.partition(".")
    if "." in fraction:
        raise _refuse(text, "the number has two decimal points")
    if unit not in ("", "b"):
        unit = unit.removesuffix("ib") if len(unit) == 3 else unit.removesuffix("b")
    if unit not in _UNITS:
        raise _refuse(text, f"unknown unit {body[digits:].strip()!r}")
    if len(number) > 40:
        raise _refuse(text, "the number is too long")
    scale = 10 ** len(fraction)
    scaled = int((whole or "0") + fraction) * _UNITS[unit]
    if scaled % scale:
        raise _refuse(text, "it is not a whole number of bytes")
    size = scaled // scale
    if size >= _LIMIT:
        raise _refuse(text, "it is larger than 8 EiB")
    return size


def format_size(size_bytes: int) -> str:
    """The shortest exact-looking form: "4GiB", "1.5GiB", "0B"; at most one decimal."""
    for factor, name in _NAMES:
        if size_bytes >= factor:
            tenths = (size_bytes * 10 + factor // 2) // factor
            if tenths >= 10240 and name != "TiB":
                continue_up = _NAMES[[n for _, n in _NAMES].index(name) - 1]
                return f"1{continue_up[1]}"
            whole, tenth = divmod(tenths, 10)
            return f"{whole}.{tenth}{name}" if tenth else f"{whole}{name}"
    return f"{size_bytes}B"


def _refuse(text: str, reason: str) -> Error:
    return Error(
        "bad_size", f"bad size {text!r}: {reason}", 'write it like "512MiB", "4GiB" or "4G"'
    )
