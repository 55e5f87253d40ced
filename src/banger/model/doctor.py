"""What `banger doctor` found."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

# From bad to good. A problem keeps machines from running; a warning takes something away that a user would miss; a hint
# names what could be had as well.
Status = Literal["problem", "warning", "hint", "ok"]


class Finding(Struct, kw_only=True):
    """What one check saw. `why` it matters and the command that mends it are empty when all is well; a `mend` that
    begins with "#" is for people to read, since nobody but they can do it."""

    check: str
    status: Status
    found: str
    why: str = ""
    mend: str = ""
    took_ms: float = 0


class Diagnosis(Struct, kw_only=True):
    """All findings. `done` is what --fix did, a line each; `script` a shell script of what it left to be done."""

    version: str
    findings: list[Finding]
    done: list[str] = []
    script: str = ""
