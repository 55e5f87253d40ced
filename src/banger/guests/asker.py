"""For whom a VMM was started, as a line in the log of that VMM: the id of the request, which the daemon's log and the
command line have, too."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from banger.host.foreign import open_to_write
from banger.host.times import now
from banger.model.asked import ASKED

# What lines of ours begin with, in a log that has the words of the VMM.
MARK = "banger: "


def note_request(vmm_log: Path, what: str) -> None:
    """Add the line; `what` is what happened to the VMM, such as "started". A line that cannot be written is no reason
    not to start a machine."""
    asked = ASKED.get()
    by = f"by request {asked.request} ({asked.principal})" if asked else "by the daemon itself"
    with contextlib.suppress(OSError):
        fd = open_to_write(vmm_log, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, f"{MARK}{now()} {what} {by}\n".encode())
        finally:
            os.close(fd)
