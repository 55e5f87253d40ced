"""A progress bar for terminals and notebooks: `client.pull("debian-bookworm", progress=Bar())`."""

from __future__ import annotations

import sys
from typing import TextIO

from banger.model.operation import Progress
from banger.model.sizes import format_size

_WIDTH = 24
_LINE = 79


class Bar:
    """Rewrites one line for each step. A new phase has a new line. What others wrote is shown without its control
    characters."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._phase = ""

    def __call__(self, step: Progress) -> None:
        begin = "\n" if self._phase and self._phase != step.phase else "\r"
        self._phase = step.phase
        self._stream.write(begin + plan_line(step).ljust(_LINE))
        self._stream.flush()


def plan_line(step: Progress) -> str:
    """A step as a line: phase, bar, how much, and what of."""
    words = step.phase
    if step.total:
        share = min(1.0, step.done / step.total)
        filled = round(share * _WIDTH)
        words += f" [{'#' * filled}{'.' * (_WIDTH - filled)}] {_amount(step)}"
    line = f"{words} {step.message}".rstrip()
    return "".join(character if character.isprintable() else "?" for character in line)[:_LINE]


def _amount(step: Progress) -> str:
    if step.unit == "bytes":
        return f"{format_size(step.done)} of {format_size(step.total)}"
    return f"{step.done} of {step.total}"
