"""Sizes in bytes, read from and written for people. Imports nothing, so the CLI can afford it.

`parse_size` and `format_size` are inverses at the unit boundaries.
"""

from __future__ import annotations

from banger.errors import Error

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB
# The most that a secret has.
SECRET_MAX_BYTES = 512 * KIB

_NAMES = ((1, "B"), (KIB, "KiB"), (MIB, "MiB"), (GIB, "GiB"), (TIB, "TiB"))
_UNITS = {"": MIB, "b": 1} | {
    name[0].lower() + tail: factor for factor, name in _NAMES[1:] for tail in ("", "b", "ib")
}
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
    rest = body.lstrip("0123456789.")
    number, unit = body[: len(body) - len(rest)], rest.strip()
    if not number or number == ".":
        raise _refuse(text, "it does not start with a number")
    whole, _, fraction = number.partition(".")
    if "." in fraction:
        raise _refuse(text, "the number has two decimal points")
    factor = _UNITS.get(unit.lower())
    if factor is None:
        raise _refuse(text, f"unknown unit {unit!r}")
    if len(number) > 40:
        raise _refuse(text, "the number is too long")
    scale: int = 10 ** len(fraction)
    scaled = int((whole or "0") + fraction) * factor
    if scaled % scale:
        raise _refuse(text, "it is not a whole number of bytes")
    size = scaled // scale
    if size >= _LIMIT:
        raise _refuse(text, "it is larger than 8 EiB")
    return size


def format_size(size_bytes: int) -> str:
    """At most one decimal, in the smallest unit that stays below 1024: "4GiB", "1.5GiB", "0B"."""
    text = ""
    for factor, name in _NAMES:
        tenths = (size_bytes * 10 + factor // 2) // factor
        text = f"{tenths // 10}.{tenths % 10}".removesuffix(".0") + name
        if tenths < 10240:
            break
    return text


def _refuse(text: str, reason: str) -> Error:
    return Error("bad_size", f"bad size {text!r}: {reason}", 'write it like "512MiB", "4GiB" or "4G"')
