"""Trying again: with growing pauses, as often as it may help."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from banger.images.registry.failures import Kind, NetworkFailure

log = logging.getLogger("banger.registry")

T = TypeVar("T")
_LONGEST_WAIT_S = 60.0


@dataclass(frozen=True)
class Patience:
    """`attempts` in all, with `first_s` seconds between the first two and twice as many each time after. Whether
    nobody being there is worth another attempt is `when_refused`."""

    attempts: int
    first_s: float = 0.5
    when_refused: bool = False


FOR_DOCUMENTS = Patience(3)
FOR_BLOBS = Patience(6, when_refused=True)


async def with_retries(
    attempt: Callable[[], Awaitable[T]],
    patience: Patience,
    progressed: Callable[[], bool] = lambda: False,
) -> T:
    """The first success. `progressed` says whether the failed attempt got us further; then counting starts anew. Raises
    the last failure's error, and at once what no further attempt would cure."""
    failed = 0
    while True:
        try:
            return await attempt()
        except NetworkFailure as failure:
            failed = 1 if progressed() else failed + 1
            if failed >= patience.attempts or not _worth(failure, patience):
                raise failure.error from failure
            pause_s = pause(failed, patience, failure.wait_s)
            log.info("%s; again in %.1f s", failure.error.message, pause_s)
            await asyncio.sleep(pause_s)


def pause(failed: int, patience: Patience, asked_s: float = 0) -> float:
    """Seconds before the next attempt, a little different each time so that many clients do not come at once."""
    own = patience.first_s * 2.0 ** (failed - 1) * random.uniform(0.8, 1.2)
    return min(max(own, asked_s), _LONGEST_WAIT_S)


def _worth(failure: NetworkFailure, patience: Patience) -> bool:
    return failure.kind in (Kind.BROKEN, Kind.CLOSED) or (
        failure.kind is Kind.REFUSED and patience.when_refused
    )
