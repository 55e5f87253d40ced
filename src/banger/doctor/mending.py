"""What --fix does by itself: what needs no root and takes nothing away."""

from __future__ import annotations

from collections.abc import Sequence

from banger.doctor.check import Mend
from banger.doctor.host import Host
from banger.errors import Error


def mend_all(mends: Sequence[Mend], host: Host) -> list[str]:
    """In the order of the checks; a line for each, also for what did not work."""
    done = []
    for mend in mends:
        if mend.act is not None:
            try:
                done.append(mend.act(host))
            except (Error, OSError) as exc:
                done.append(f"failed: {mend.command}: {exc}")
    return done
