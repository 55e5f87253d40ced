"""Repeated attempts: with growing pauses, while another attempt may help, and no sooner than the registry asks, within
limits."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from banger.errors import Error, RegistryBusy
from banger.images.fetch.failures import Kind, NetworkFailure, for_status
from banger.images.fetch.transport import Answer

log = logging.getLogger("banger.registry")

T = TypeVar("T")
_LONGEST_WAIT_S = 60.0
_SAID_S = 2.0  # a pause of this length is reported
_MOST_ASKED_S = 366 * 86400.0


@dataclass(frozen=True)
class Patience:
    """`attempts` in all, with `first_s` seconds between the first two, and twice as many after each further one.
    `when_refused`: whether a host where no server listens is tried again."""

    attempts: int
    first_s: float = 0.5
    when_refused: bool = False


FOR_DOCUMENTS = Patience(3)
FOR_BLOBS = Patience(6, when_refused=True)


async def with_retries(
    attempt: Callable[[], Awaitable[T]],
    patience: Patience,
    progressed: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = log.info,
) -> T:
    """The result of the first attempt that succeeds. `progressed` says whether the failed attempt brought anything;
    then counting starts again. `tell` gets messages about long pauses. Raises the error of the last failure: at once if
    another attempt cannot help, or not soon."""
    failed = 0
    while True:
        try:
            return await attempt()
        except NetworkFailure as failure:
            failed = 1 if progressed() else failed + 1
            if failure.wait_s > _LONGEST_WAIT_S:
                raise _later(failure) from failure
            if failed >= patience.attempts or not _worth(failure, patience):
                raise failure.error from failure
            pause_s = pause(failed, patience, failure.wait_s)
            log.info("%s; again in %.1f s", failure.error.message, pause_s)
            if pause_s >= _SAID_S:
                tell(f"{failure.error.message}; again in {pause_s:.0f} s")
            await asyncio.sleep(pause_s)


def pause(failed: int, patience: Patience, asked_s: float = 0) -> float:
    """Seconds before the next attempt, randomly varied, so that many clients do not come at once."""
    own = patience.first_s * 2.0 ** (failed - 1) * random.uniform(0.8, 1.2)
    return min(max(own, asked_s), _LONGEST_WAIT_S)


def passing(answer: Answer, what: str) -> NetworkFailure:
    """The failure for an answer whose status may change."""
    error = for_status(answer.host, what, answer.status)
    wait_s = asked_wait_s(answer.header("Retry-After"), answer.header("Date"))
    return NetworkFailure(Kind.BROKEN, error, wait_s)


def asked_wait_s(retry_after: str, date: str = "") -> float:
    """The value of Retry-After in seconds: a number, or a moment, which is compared with the server's own clock if
    `date` gives it. 0 for any other text. Source: RFC 9110, section 10.2.3."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:20]), _MOST_ASKED_S)
    moment = _moment(text)
    if moment is None:
        return 0
    now = _moment(date) or time.time()
    return min(max(moment - now, 0), _MOST_ASKED_S)


def _moment(text: str) -> float | None:
    """Seconds since 1970 of an HTTP date."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _later(failure: NetworkFailure) -> Error:
    """The error for a registry that asks to wait longer than a pull does."""
    error, wait_s = failure.error, failure.wait_s
    when = datetime.fromtimestamp(time.time() + wait_s).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    minutes = f" ({wait_s / 60:.0f} minutes)" if wait_s >= 120 else ""
    return Error(
        error.code,
        f"{error.message}; it asks to retry in {wait_s:.0f} s{minutes}",
        f"try again after {when}" + (f"; {error.hint}" if isinstance(error, RegistryBusy) else ""),
        {**error.details, "retry_after_s": round(wait_s)},
    )


def _worth(failure: NetworkFailure, patience: Patience) -> bool:
    return failure.kind in (Kind.BROKEN, Kind.CLOSED) or (
        failure.kind is Kind.REFUSED and patience.when_refused
    )
