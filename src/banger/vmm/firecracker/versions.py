"""What a version of Firecracker can do, by its number. See docs/decisions/0041-firecracker.md."""

from __future__ import annotations

import re
from typing import NamedTuple

from banger.vmm.base import Lack

_NUMBERS = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})")


class Version(NamedTuple):
    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


# The first with ACPI, which kernels of today need to find the devices.
BOOTS = Version(1, 8, 0)
# The first whose guests learn after a restore that their connections are gone, and whose taps can be others then.
RESTORES = Version(1, 12, 0)
# Loses the connections of the agent in each restore.
LOSES_AGENTS = Version(1, 16, 0)
# From the first of these to before the second, a guest may hear nothing through vsock after a pause without a capture.
DEAFENS = (Version(1, 16, 0), Version(1, 17, 0))


def read_version(said: str) -> Version | None:
    """From the first line of `firecracker --version`; None if there is no version in it."""
    found = _NUMBERS.search(said.partition("\n")[0])
    return Version(*map(int, found.groups())) if found else None


def problem_of(version: Version) -> str:
    """Why no machine runs with this version; empty if machines run."""
    return "" if version >= BOOTS else f"Firecracker {version} is older than {BOOTS}"


def why_no_restore(version: Version) -> str:
    """Why this version cannot continue a frozen machine; empty if it can."""
    if version < RESTORES:
        return f"Firecracker {version} is older than {RESTORES}"
    if version == LOSES_AGENTS:
        return f"Firecracker {version} loses its guests' connections in a restore"
    return ""


def deafens(version: Version) -> bool:
    """Whether a pause may end the connections of the agent for good."""
    return DEAFENS[0] <= version < DEAFENS[1]


def lacks_of(version: Version) -> list[Lack]:
    if problem := problem_of(version):
        return [Lack(f"{problem}: nothing runs", is_fatal=True)]
    why = why_no_restore(version)
    return [Lack(f"{why}: no templates, snapshots and forks")] if why else []
