"""How long one call waits for the daemon.

The daemon answers a call that only reads within seconds; if it is silent for longer, it hangs. In a call for which the
daemon works, waits or follows, it may be silent for any time; then the client asks the daemon now and then, on another
connection, whether it still answers, and gives up if not. In addition, the caller may set a limit.
"""

from __future__ import annotations

import time

from banger.errors import Error

# After this silence the daemon is asked whether it lives; it has the same time to answer.
LOOK_AFTER_S = 60.0
LIFE_S = 30.0
_LEAST_S = 0.001


class Patience:
    """The limits of one call, from now on. `total_s`: until the whole answer has arrived; `silence_s`: between two
    pieces of it. None: no limit while the daemon lives."""

    __slots__ = ("_end", "_silence_s", "_total_s")

    def __init__(self, total_s: float | None = None, silence_s: float | None = None) -> None:
        self._total_s = total_s
        self._silence_s = silence_s
        self._end = None if total_s is None else time.monotonic() + total_s

    def wait_s(self) -> float:
        """How long the next wait may be, in seconds; above 0."""
        most_s = LOOK_AFTER_S if self._silence_s is None else self._silence_s
        return most_s if self._end is None else max(_LEAST_S, min(most_s, self._end - time.monotonic()))

    def check(self) -> None:
        """Call this after a wait without bytes. Raises `timeout`, unless the call may continue with a daemon that
        lives."""
        if self._end is not None and time.monotonic() >= self._end:
            raise too_late(self._total_s or 0)
        if self._silence_s is not None:
            raise silent(self._silence_s)


def patience_for_life() -> Patience:
    """The limits of the question whether the daemon lives."""
    return Patience(silence_s=LIFE_S)


def silent(waited_s: float) -> Error:
    """The error for a daemon that accepts connections but does not answer."""
    return Error(
        "timeout",
        f"the daemon was silent for {waited_s:g} s",
        "the daemon's log may say why; `banger system restart` restarts the daemon, and machines keep running",
    )


def too_late(limit_s: float) -> Error:
    """The error for the limit of the caller."""
    return Error(
        "timeout",
        f"the daemon did not answer the call within {limit_s:g} s",
        "give the call more time (timeout_s); the daemon may still work on it: `banger operation list`",
    )
