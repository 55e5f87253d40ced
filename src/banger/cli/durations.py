"""Durations as people write them, parsed and formatted only here."""

from __future__ import annotations

from banger.errors import Error

_UNITS_S = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_WORDS_S = (
    ("year", 31_557_600),
    ("month", 2_629_800),
    ("week", 604_800),
    ("day", 86_400),
    ("hour", 3600),
    ("minute", 60),
    ("second", 1),
)
_LIMIT_S = 31_536_000.0


def parse_duration(text: str) -> float:
    """Seconds in "500ms", "30s", "5m", "1h", "1.5h"; a bare number is seconds. Raises `bad_request`."""
    body = text.strip().lower()
    unit = body.lstrip("0123456789.")
    number = body[: len(body) - len(unit)]
    if unit.strip() not in _UNITS_S or not _is_number(number):
        raise _refuse(text)
    seconds = float(number) * _UNITS_S[unit.strip()]
    if seconds > _LIMIT_S:
        raise _refuse(text, "longer than a year")
    return seconds


def describe_duration(seconds: float) -> str:
    """A duration in words, rounded down to one unit: "1 second", "12 seconds", "3 minutes", "2 days"."""
    for unit, length_s in _WORDS_S:
        if seconds >= 2 * length_s or unit == "second":
            count = max(1, int(seconds // length_s))
            return f"{count} {unit}{'' if count == 1 else 's'}"
    raise AssertionError("a duration has seconds")


def _is_number(text: str) -> bool:
    return text.isascii() and text.count(".") <= 1 and text.replace(".", "").isdigit() and len(text) < 20


def _refuse(text: str, reason: str = "") -> Error:
    detail = f": {reason}" if reason else ""
    return Error(
        "bad_request", f"bad duration {text!r}{detail}", 'write it like "500ms", "30s", "5m" or "1h"'
    )
