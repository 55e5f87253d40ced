"""Numbers of users that VMMs run as when we are root: each VMM has one of its own, which no user of the host has.

0x70000000 to 0x7fffffff lies beyond what is given to users, to their subordinates and to containers (systemd's list of
user ids). Each state directory has a part of it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_ALL = range(0x7000_0000, 0x8000_0000)
_PART = 1 << 14


def part_of(state: Path) -> range:
    """The numbers for VMMs of a state directory."""
    digest = hashlib.sha256(os.fsencode(state)).digest()
    first = _ALL.start + int.from_bytes(digest[:4], "big") % (len(_ALL) // _PART) * _PART
    return range(first, first + _PART)


def is_ours(user: int) -> bool:
    """Whether the number is our own or, if we are root, a VMM's."""
    return user == os.geteuid() or (os.geteuid() == 0 and user in _ALL)
