"""Progress of long work, on stderr: a bar on a terminal. Elsewhere only warnings, except with BANGER_PROGRESS=plain,
which asks for plain lines.

Work of less than 0.3 s shows only warnings. `rich` is loaded only to draw.
"""

from __future__ import annotations

import os
import sys
import time

from banger.cli.output import printable
from banger.cli.terminal import is_terminal
from banger.model.sizes import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

ASKED_BY = "BANGER_PROGRESS"
PATIENCE_S = 0.3
WARNING = "warning"
_LINE_EVERY_S = 2.0
_REDRAW_EVERY_S = 0.1
_LAYERS_SHOWN = 8


class Layer:
    """A layer that is being loaded, in bytes."""

    __slots__ = ("digest", "done", "total")

    def __init__(self, digest: str, done: int, total: int) -> None:
        self.digest = digest
        self.done = done
        self.total = total


class Step:
    """Progress of one phase. A `total` of 0 means that it is unknown. `layers` are given as the API has them, and a few
    that are being loaded are kept."""

    __slots__ = ("done", "layers", "message", "phase", "total", "unit")

    def __init__(
        self, phase: str, message: str, done: int, total: int, unit: str, layers: object = None
    ) -> None:
        self.layers = _loading(layers)
        self.phase = phase
        self.message = message
        self.done = done
        self.total = total
        self.unit = unit

    def amount(self) -> str:
        """ "12MiB of 40MiB", "3 of 12 packages", or nothing."""
        if not self.done and not self.total:
            return ""
        known = f" of {self._count(self.total)}" if self.total else ""
        unit = f" {self.unit}" if self.unit not in ("", "bytes") else ""
        return self._count(self.done) + known + unit

    def line(self) -> str:
        text = f"{self.phase}: {self.message}" if self.message else self.phase
        amount = self.amount()
        return printable(f"{text} ({amount})" if amount else text)

    def _count(self, number: int) -> str:
        return format_size(number) if self.unit == "bytes" else str(number)


def _loading(layers: object) -> list[Layer]:
    found = []
    for layer in layers if isinstance(layers, list) else []:
        if isinstance(layer, dict) and layer.get("state") == "loading":
            digest, done, total = layer.get("digest"), layer.get("done"), layer.get("total")
            if isinstance(digest, str) and isinstance(done, int) and isinstance(total, int):
                found.append(Layer(digest, done, total))
    return found[:_LAYERS_SHOWN]


class Progress:
    """Shows steps while work runs; `close` removes the bar. The caller calls `tick` every `wait_s` seconds or so. Never
    raises because a terminal is missing."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet or not (is_terminal(2) or os.environ.get(ASKED_BY) == "plain")
        self._begun = time.monotonic()
        self._step: Step | None = None
        self._view: _Lines | _Bar | None = None

    @property
    def wait_s(self) -> float | None:
        """When to call `tick` next, in seconds; None while nothing is shown."""
        if self._quiet or self._step is None:
            return None
        return _REDRAW_EVERY_S

    def show(self, step: Step) -> None:
        """Show a step. A warning is a line that stays, also with --quiet."""
        if step.phase == WARNING:
            self._warn(step)
            return
        self._step = step
        self.tick()

    def tick(self) -> None:
        if self._quiet or self._step is None or time.monotonic() - self._begun < PATIENCE_S:
            return
        if self._view is None:
            self._view = _Bar() if is_terminal(2) else _Lines()
        self._view.draw(self._step)

    def _warn(self, step: Step) -> None:
        if isinstance(self._view, _Bar):
            self._view.close()
            self._view = None
        print(step.line(), file=sys.stderr, flush=True)

    def close(self) -> None:
        self._step = None
        if self._view is not None:
            self._view.close()
            self._view = None


class _Lines:
    """One line per phase, and within a phase one every two seconds at most."""

    def __init__(self) -> None:
        self._phase = ""
        self._last = ""
        self._written = 0.0

    def draw(self, step: Step) -> None:
        now = time.monotonic()
        line = step.line()
        same = step.phase == self._phase
        if line == self._last or (same and now - self._written < _LINE_EVERY_S):
            return
        self._phase, self._last, self._written = step.phase, line, now
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        return


class _Bar:
    """A bar of `rich`, drawn when told to, without a thread of its own."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Bars

        self._bars: Bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[amount]}", markup=False),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._bars.start()
        self._task = self._bars.add_task("", total=None, amount="")
        self._layers: dict[str, TaskID] = {}
        self._drawn = 0.0

    def draw(self, step: Step) -> None:
        now = time.monotonic()
        if now - self._drawn < _REDRAW_EVERY_S / 2:
            return
        self._drawn = now
        text = f"{step.phase}: {step.message}" if step.message else step.phase
        self._draw_layers(step.layers)
        self._bars.update(
            self._task,
            description=printable(text),
            completed=step.done,
            total=step.total or None,
            amount=step.amount(),
            refresh=True,
        )

    def _draw_layers(self, layers: list[Layer]) -> None:
        """A bar below for each layer that is being loaded."""
        loading = {layer.digest for layer in layers}
        for digest in [digest for digest in self._layers if digest not in loading]:
            self._bars.remove_task(self._layers.pop(digest))
        for layer in layers:
            if layer.digest not in self._layers:
                text = printable(f"  {layer.digest}")
                self._layers[layer.digest] = self._bars.add_task(text, total=None, amount="")
            amount = f"{format_size(layer.done)} of {format_size(layer.total)}"
            self._bars.update(
                self._layers[layer.digest], completed=layer.done, total=layer.total or None, amount=amount
            )

    def close(self) -> None:
        self._bars.stop()
