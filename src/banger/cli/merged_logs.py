"""The output of several machines as one: whole lines, each with the name of its machine before it."""

from __future__ import annotations

import os
import threading
import time

from banger.cli.daemon import Daemon
from banger.cli.terminal import is_terminal
from banger.cli.verbs.logs import Cleaner
from banger.client.calls import machines_get, machines_logs
from banger.errors import Error, NoSuchMachine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_LINE_MAX = 64 * 1024
_LOOK_EVERY_S = 0.3
_JOIN_S = 0.2
_LIVE = ("starting", "running", "paused", "stopping")


class Window:
    """Which lines are shown, by their times as in `machines_logs`, and whether with times; by default all, without."""

    __slots__ = ("since", "timestamps", "until")

    def __init__(self, since: str = "", until: str = "", timestamps: bool = False) -> None:
        self.since = since
        self.until = until
        self.timestamps = timestamps


class Source:
    """A machine whose output is shown: its name here, and how many of its last lines; None for all."""

    __slots__ = ("machine", "shown", "tail")

    def __init__(self, machine: str, shown: str, tail: int | None) -> None:
        self.machine = machine
        self.shown = shown
        self.tail = tail


def print_merged(
    sources: Sequence[Source], follow: bool, prefix: bool = True, window: Window | None = None
) -> list[Error]:
    """Print the output of these machines, with `follow` until all have ended. Returns the errors of machines
    whose output could not be read."""
    width = max((len(source.shown) for source in sources), default=0) if prefix else 0
    printer = _Printer(width, window or Window())
    if not follow:
        return [
            error for number, source in enumerate(sources) for error in printer.show(source, number, False)
        ]
    errors: list[Error] = []
    threads = [
        threading.Thread(
            target=lambda s=source, n=number: errors.extend(printer.show(s, n, True)), daemon=True
        )
        for number, source in enumerate(sources)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(_JOIN_S)
    return errors


class _Printer:
    """Writes whole lines to stdout, from several threads. A `width` of 0: without names."""

    def __init__(self, width: int, window: Window) -> None:
        self._width = width
        self.window = window
        self._turn = threading.Lock()
        self._on_terminal = is_terminal(1)
        self._coloured = self._on_terminal and not os.environ.get("NO_COLOR")

    def show(self, source: Source, number: int, follow: bool) -> list[Error]:
        """Print the output of one machine, also of its next starts if banger starts it again."""
        try:
            lines = _Lines(self, self._prefix(source.shown, number))
            lines.copy(source.machine, source.tail, follow)
            while follow and _goes_on(source.machine):
                lines.copy(source.machine, 0, follow)
        except NoSuchMachine:  # it was deleted meanwhile
            return []
        except Error as exc:
            return [exc]
        return []

    def _prefix(self, name: str, number: int) -> bytes:
        if not self._width:
            return b""
        text = f"{name.ljust(self._width)} | "
        return (f"\x1b[{_COLOURS[number % len(_COLOURS)]}m{text}\x1b[0m" if self._coloured else text).encode()

    def cleaner(self) -> Cleaner | None:
        return Cleaner() if self._on_terminal else None

    def write(self, data: bytes) -> None:
        with self._turn:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(1, rest) :]


class _Lines:
    """The output of one machine, as lines with a prefix."""

    def __init__(self, printer: _Printer, prefix: bytes) -> None:
        self._printer = printer
        self._prefix = prefix

    def copy(self, machine: str, tail: int | None, follow: bool) -> None:
        cleaner, held = self._printer.cleaner(), b""
        window = self._printer.window
        call = machines_logs(
            machine,
            source="exec",
            tail=tail,
            follow=follow,
            timestamps=window.timestamps,
            since=window.since,
            until=window.until,
        )
        with Daemon().open(call) as answer:
            for piece in answer.chunks():
                held += cleaner.feed(piece) if cleaner else piece
                if len(held) > _LINE_MAX and b"\n" not in held:
                    held += b"\n"
                whole, newline, held = held.rpartition(b"\n")
                if newline:
                    self._write(whole)
        held += cleaner.feed(b"", final=True) if cleaner else b""
        if held:
            self._write(held)

    def _write(self, lines: bytes) -> None:
        self._printer.write(b"".join(self._prefix + line + b"\n" for line in lines.split(b"\n")))


def _goes_on(machine: str) -> bool:
    """Whether the machine runs again, waiting for that if banger is about to start it."""
    while True:
        record = Daemon().record(machines_get(machine))
        if record.get("state") in _LIVE:
            return record.get("state") != "stopping"
        if record.get("restart_in_s") is None:
            return False
        time.sleep(_LOOK_EVERY_S)
