"""The output of verbs: tables, JSON, times. Names from a guest are made harmless first."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from banger.model.shown import json_text as json_text
from banger.model.shown import printable as printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json

WITHHELD = "***"
_LEAST = 7
# Words in the second column of a table, and the colours of terminals.
_COLOURS = {
    "running": 32,
    "succeeded": 32,
    "ok": 32,
    "starting": 36,
    "paused": 33,
    "idle": 33,
    "stopping": 33,
    "stopped": 2,
    "created": 2,
    "cancelled": 2,
    "failed": 31,
    "problem": 31,
    "unhealthy": 31,
}


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


def part_of(record: Json, name: str) -> Json:
    """A part of a record; empty if it has none."""
    part = record.get(name)
    return part if isinstance(part, dict) else {}


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], whole: bool = False) -> None:
    """A table: columns as wide as their widest cell, two spaces apart, headings in capitals. On a terminal that is
    narrower, long cells are shortened and the last columns left out, unless `whole` is true; states have colours."""
    from banger.cli.terminal import is_coloured, output_width

    lines = [[heading.upper() for heading in headings]]
    lines += [[printable(cell) or "-" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if not whole and (limit := output_width()):
        widths = fit_columns(widths, list(map(len, headings)), limit)
    coloured = is_coloured()
    for line in lines:
        cells = [_cell(cell, width) for cell, width in zip(line, widths, strict=False)]
        text = "  ".join(cells).rstrip()
        print(_paint(text, line, widths) if coloured and line is not lines[0] else text)


def fit_columns(widths: list[int], least: list[int], limit: int) -> list[int]:
    """The widths of the columns that fit into `limit`. The first column keeps its width; the widest of the others are
    shortened, to the length of their headings and to a few letters at least; if that is not enough, the last column is
    left out."""
    widths = list(widths)
    floors = [
        widths[0],
        *(max(name, min(width, _LEAST)) for name, width in zip(least[1:], widths[1:], strict=True)),
    ]
    while len(widths) > 1 and sum(floors) + 2 * (len(floors) - 1) > limit:
        widths.pop()
        floors.pop()
    while (over := sum(widths) + 2 * (len(widths) - 1) - limit) > 0:
        widest = max(range(len(widths)), key=lambda at: (widths[at] > floors[at], widths[at] if at else -1))
        if widths[widest] <= floors[widest]:
            break
        widths[widest] = max(floors[widest], widths[widest] - over)
    return widths


def _cell(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"


def _paint(text: str, line: Sequence[str], widths: Sequence[int]) -> str:
    """The line with its state in colour: the second cell, which is the state where there is one."""
    word = line[1].partition(" ")[0] if len(line) > 1 and len(widths) > 1 else ""
    colour = _COLOURS.get("unhealthy" if "(unhealthy)" in line[1] else word) if word else None
    if colour is None:
        return text
    begin = widths[0] + 2
    end = begin + min(len(line[1]), widths[1])
    return f"{text[:begin]}\x1b[{colour}m{text[begin:end]}\x1b[0m{text[end:]}"


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
    """The time since an RFC 3339 time in UTC, in words: "2 minutes"."""
    from banger.cli.durations import describe_duration

    since = _timestamp(moment)
    if since is None:
        return ""
    from time import time

    return describe_duration(max(0.0, time() - since))


def _timestamp(moment: str) -> float | None:
    from calendar import timegm
    from time import strptime

    try:
        return float(timegm(strptime(moment[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return None


def write_pieces(path: str, pieces: Iterable[bytes], sparse: bool = False) -> int:
    """Write a file, or for "-" to stdout. Returns the number of bytes. As `write_whole`."""
    if path != "-":
        from banger.client.whole_file import write_whole

        return write_whole(path, pieces, sparse)
    size_bytes = sum(sys.stdout.buffer.write(piece) for piece in pieces)
    sys.stdout.buffer.flush()
    return size_bytes


def write_bytes(data: bytes) -> None:
    """Write to stdout without Python's text layer."""
    sys.stdout.buffer.write(data)
