"""Authorization headers that were granted, for as long as they last."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from banger.host.bounded import Bounded, Locks

# The most scopes; a registry chooses their names.
_KEPT = 256


@dataclass(frozen=True)
class Grant:
    """An Authorization header and when it ends (monotonic seconds)."""

    header: str = field(repr=False)
    expires: float

    def is_fresh(self) -> bool:
        return time.monotonic() < self.expires


class Grants:
    """Grants by host and scope. May outlive a pull; used from one event loop."""

    def __init__(self) -> None:
        self._known: Bounded[tuple[str, str], Grant] = Bounded(_KEPT)
        self.locks = Locks()

    def find(self, host: str, scope: str) -> Grant | None:
        grant = self._known.get((host, scope))
        return grant if grant is not None and grant.is_fresh() else None

    def put(self, host: str, scope: str, grant: Grant) -> None:
        self._known[host, scope] = grant

    def forget(self, host: str) -> None:
        """Forget the grants of a host: after a log-in or log-out, or if the host no longer accepts them."""
        for key in [key for key in self._known if key[0] == host]:
            del self._known[key]
