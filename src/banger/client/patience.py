"""How long one call waits for the daemon.

A call that only reads is answered within seconds: a daemon that is silent for longer hangs. One that works, waits or
follows may be silent for as long as it likes, but not its daemon: who has heard nothing for a while asks that something
else meanwhile, and gives up when it is silent there, too. And whoever calls may set a limit of his own.
"""

from __future__ import annotations

import time

from banger.errors import Error

# So long after the last word a daemon is asked whether it lives; and so long it has for the answer.
LOOK_AFTER_S = 60.0
LIFE_S = 30.0
_LEAST_S = 0.001


class Patience:
    """Of one call, from when this is made. `total_s`: until all of its answer is there; `silence_s`: between two words
    of it. None: without limit, as long as the daemon lives."""

    __slots__ = ("_end", "_silence_s", "_total_s")

    def __init__(self, total_s: float | None = None, silence_s: float | None = None) -> None:
        self._total_s = total_s
        self._silence_s = silence_s
        self._end = None if total_s is None else time.monotonic() + total_s

    def wait_s(self) -> float:
        """How long the next wait may be; above 0."""
        most_s = LOOK_AFTER_S if self._silence_s is None else self._silence_s
        return most_s if self._end is None else max(_LEAST_S, min(most_s, self._end - time.monotonic()))

    def check(self) -> None:
        """After a wait that brought nothing. Raises `timeout`, unless it may go on for a daemon that lives."""
        if self._end is not None and time.monotonic() >= self._end:
            raise too_late(self._total_s or 0)
        if self._silence_s is not None:
            raise silent(self._silence_s)


def patience_for_life() -> Patience:
    """With a daemon that is asked for nothing but whether it lives."""
    return Patience(silence_s=LIFE_S)


def silent(waited_s: float) -> Error:
    """The error for a daemon that is there and says nothing."""
    return Error(
        "timeout",
        f"the daemon was silent for {waited_s:g} s",
        "the daemon's log may say why; `banger system restart` restarts the daemon, and machines keep running",
    )


def too_late(limit_s: float) -> Error:
    """The error for a limit that the caller has set."""
    return Error(
        "timeout",
        f"the daemon did not answer the call within {limit_s:g} s",
        "give the call more time (timeout_s); the daemon may still work on it: `banger operation list`",
    )
