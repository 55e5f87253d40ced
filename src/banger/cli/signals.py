"""Signals as a file descriptor to poll, and the rule for Ctrl-C."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    Handler = Callable[[int, FrameType | None], object] | int | None

FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_IMPATIENT_S = 1.0


class Signals:
    """Catches signals inside its `with` block. `fileno` is readable after a signal; `take` says which."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._numbers = tuple(numbers)
        self._before: dict[signal.Signals, Handler] = {}
        self._reader = -1
        self._writer = -1
        self._wakeup_before = -1

    def __enter__(self) -> Signals:
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in self._numbers:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, _note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._reader)
        os.close(self._writer)

    def fileno(self) -> int:
        return self._reader

    def take(self) -> list[int]:
        """The numbers of the signals since the last call, in order."""
        try:
            return list(os.read(self._reader, 4096))
        except BlockingIOError:
            return []


def _note(number: int, frame: object) -> None:
    """The handler does nothing: the wake-up pipe has the number already."""


class Patience:
    """Ctrl-C goes to the guest. If the user presses it twice within a second, or a third time, banger leaves the
    command."""

    def __init__(self) -> None:
        self._presses: list[float] = []

    def press(self, now_s: float) -> bool:
        """Note a Ctrl-C. True if banger should leave the command."""
        self._presses.append(now_s)
        impatient = len(self._presses) > 1 and now_s - self._presses[-2] <= _IMPATIENT_S
        return impatient or len(self._presses) >= 3
