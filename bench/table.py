"""The rows of a report, printed for people and written for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.noise import Sample


@dataclass(frozen=True)
class Row:
    """One measured thing. `aim` is what its median should not exceed; None where nothing is promised."""

    name: str
    unit: str
    sample: Sample
    aim: float | None = None

    @property
    def verdict(self) -> str:
        if self.aim is None:
            return ""
        return "met" if self.sample.median <= self.aim else "MISSED"


HEADINGS = ("what", "unit", "median", "least", "most", "runs", "aim", "")


def format_number(value: float) -> str:
    digits = 0 if value == int(value) or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}"


def cells(row: Row) -> tuple[str, ...]:
    numbers = (format_number(v) for v in (row.sample.median, row.sample.least, row.sample.most))
    aim = "" if row.aim is None else format_number(row.aim)
    return (row.name, row.unit, *numbers, str(len(row.sample.values)), aim, row.verdict)


def format_table(rows: Sequence[Row]) -> str:
    table = [HEADINGS, *map(cells, rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADINGS))]

    def line(parts: tuple[str, ...]) -> str:
        left, right = parts[:2], parts[2:7]
        words = [text.ljust(width) for text, width in zip(left, widths[:2], strict=True)]
        words += [text.rjust(width) for text, width in zip(right, widths[2:7], strict=True)]
        return "  ".join([*words, parts[7]]).rstrip()

    return "\n".join(map(line, table))


def write_json(rows: Iterable[Row], path: Path) -> None:
    data = [
        {"name": r.name, "unit": r.unit, "aim": r.aim, "median": r.sample.median, "values": r.sample.values}
        for r in rows
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n")
