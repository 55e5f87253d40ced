"""Moves in threads of their own, and how each of them ended."""

from __future__ import annotations

import threading
import time

from banger.client.sync import Client
from banger.errors import Error
from tests.crash.model import Violation
from tests.crash.moves import Move

_ANSWER_S = 120.0
# What the host may refuse at any time, by right.
_HOST_IS_SMALL = frozenset({"insufficient_memory", "insufficient_disk"})


class Attempt:
    """A move from its beginning to its answer; `error` is what it was answered instead of success."""

    def __init__(self, move: Move, client: Client) -> None:
        self.move = move
        self.error: Error | None = None
        self.crash: BaseException | None = None
        self._client = client
        self._begun = time.monotonic()
        self._took_s = 0.0
        self._thread = threading.Thread(target=self._perform, name=str(move), daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @property
    def done(self) -> bool:
        return not self.running and self.error is None and self.crash is None

    @property
    def outcome(self) -> str:
        if self.running:
            return "no answer yet"
        if self.error is not None:
            return f"{self.error.code}: {self.error.message}"
        return f"done after {self._took_s * 1000:.0f} ms" if self.crash is None else repr(self.crash)

    def wait(self) -> None:
        """Raises `Violation` when nobody ever answers, or answers nonsense."""
        self._thread.join(max(0.0, self._begun + _ANSWER_S - time.monotonic()))
        if self.running:
            raise Violation(f"{self.move}: no answer within {_ANSWER_S:g} s")
        if self.crash is not None:
            raise Violation(f"{self.move}: {self.crash!r}") from self.crash

    def check_error(self, *, disturbed: bool) -> None:
        """A move that nobody disturbed succeeds, and what the daemon calls `internal` is never right."""
        if self.error is None:
            return
        if self.error.code == "internal" or not (disturbed or self.error.code in _HOST_IS_SMALL):
            raise Violation(f"{self.move}: {self.error.code}: {self.error.message}")

    def _perform(self) -> None:
        try:
            self.move.perform(self._client)
        except Error as exc:
            self.error = exc
        except BaseException as exc:
            self.crash = exc
        self._took_s = time.monotonic() - self._begun
