"""Numbers of the users that VMMs run as when the daemon is root: each VMM has its own number, which no user of the host
has.

0x70000000 to 0x7fffffff lies beyond the numbers for users, for subordinate users and for containers (systemd's list of
user ids). Each state directory uses a part of this range.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_ALL = range(0x7000_0000, 0x8000_0000)
_PART = 1 << 14


def part_of(state: Path) -> range:
    """The numbers for the VMMs of a state directory."""
    digest = hashlib.sha256(os.fsencode(state)).digest()
    first = _ALL.start + int.from_bytes(digest[:4], "big") % (len(_ALL) // _PART) * _PART
    return range(first, first + _PART)


def is_ours(user: int) -> bool:
    """Whether the number belongs to the daemon's own user or, if the daemon is root, to a VMM."""
    return user == os.geteuid() or (os.geteuid() == 0 and user in _ALL)
