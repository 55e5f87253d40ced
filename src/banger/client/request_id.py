"""The id that requests of this process have in the daemon's log: BANGER_REQUEST, which the command line sets if its
caller did not. Without it, the daemon gives each request an id of its own."""

from __future__ import annotations

import os

VARIABLE = "BANGER_REQUEST"
HEADER = "Banger-Request"
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_LONGEST = 64


def request_header() -> dict[str, str]:
    """The header, if there is an id that the daemon accepts."""
    given = os.environ.get(VARIABLE, "")
    return {HEADER: given} if 0 < len(given) <= _LONGEST and _LETTERS.issuperset(given) else {}


def ensure_request_id() -> None:
    """From now on, all requests of this process have one id."""
    os.environ.setdefault(VARIABLE, os.urandom(8).hex())
