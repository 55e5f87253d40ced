"""What `banger doctor` found."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

# From bad to good. A problem keeps machines from running; a warning names something that a user would miss; a hint
# names something that could be better.
Status = Literal["problem", "warning", "hint", "ok"]


class Finding(Struct, kw_only=True):
    """The result of one check. `found` is what the check saw, `why` says why that matters, and `mend` is the command
    that fixes it; `why` and `mend` are empty when the status is "ok". A `mend` that begins with "#" is advice for
    people."""

    check: str
    status: Status
    found: str
    why: str = ""
    mend: str = ""
    took_ms: float = 0


class Diagnosis(Struct, kw_only=True):
    """All findings. `done` has a line for each thing that --fix did; `script` is a shell script with the other
    fixes."""

    version: str
    findings: list[Finding]
    done: list[str] = []
    script: str = ""
