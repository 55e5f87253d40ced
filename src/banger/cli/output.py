"""The output of verbs: tables, JSON, times. Names from a guest are made harmless first."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from banger.model.shown import json_text as json_text
from banger.model.shown import printable as printable

WITHHELD = "***"


def print_json(data: object, show_env: bool = False) -> None:
    print(json_text(data if show_env else withhold(data), indent=2))


def withhold(data: object) -> object:
    """The record without the values of commands' variables, which are often passwords. Their names stay."""
    if isinstance(data, list):
        return [withhold(item) for item in data]
    if not isinstance(data, dict):
        return data
    return {
        name: dict.fromkeys(value, WITHHELD) if name == "env" and isinstance(value, dict) else withhold(value)
        for name, value in data.items()
    }


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table: columns as wide as their widest cell, two spaces apart, headings in capitals."""
    lines = [tuple(heading.upper() for heading in headings)]
    lines += [tuple(printable(cell) or "-" for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    print("\n".join(text))


def print_fields(data: object, indent: str = "") -> None:
    """Nested data as `name: value` lines, empty values left out."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for name, value in pairs:
        if value in ("", None, [], {}):
            continue
        if isinstance(value, dict) or (
            isinstance(value, list) and any(isinstance(v, dict | list) for v in value)
        ):
            print(f"{indent}{printable(str(name))}:")
            print_fields(value, indent + "  ")
        else:
            print(f"{indent}{printable(str(name))}: {_plain(value)}")


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " ".join(printable(str(item)) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(str(value))


def age(moment: str) -> str:
    """The time since an RFC 3339 time in UTC."""
    from banger.cli.durations import format_duration

    since = _timestamp(moment)
    if since is None:
        return ""
    from time import time

    return format_duration(max(0.0, time() - since))


def _timestamp(moment: str) -> float | None:
    from calendar import timegm
    from time import strptime

    try:
        return float(timegm(strptime(moment[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return None


def write_bytes(data: bytes) -> None:
    """Write to stdout without Python's text layer."""
    sys.stdout.buffer.write(data)
