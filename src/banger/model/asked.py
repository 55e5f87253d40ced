"""Which request the present task works for, and on whose behalf: for logs and operations, and never to decide by."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

from msgspec import Struct

from banger.errors import Error

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class Asked(Struct, frozen=True, kw_only=True):
    """`request` is the id that the client chose, or that the daemon gave the request. `principal` is as short as in
    logs."""

    request: str
    principal: str


# Tasks begin with a copy, so the work that a request began has it, too.
ASKED: ContextVar[Asked | None] = ContextVar("asked", default=None)


def request_id(given: str) -> str:
    """The id that a client gave, if it is one, or a new id."""
    return given if _ID.match(given) else secrets.token_hex(8)


def bug(exc: Exception) -> Error:
    """The error for an exception that nothing expected. Its text stays in the daemon's log: it may have paths of the
    host, and operations are shown to all who may read."""
    asked = ASKED.get()
    where = f"see the daemon's log, request {asked.request}" if asked else "see the daemon's log"
    return Error("internal", f"the daemon failed: {type(exc).__name__}", where)
