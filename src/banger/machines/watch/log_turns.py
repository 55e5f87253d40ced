"""Limit the logs that VMMs write: a log beyond a size is copied to FILE.1 and begins again, empty.

A VMM keeps its log open for appending, so the file itself stays: its end is copied, then it is truncated. What the VMM
writes between the two steps is lost.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from banger.host.foreign import copy_end, foreign_size, open_foreign
from banger.host.fs import discard
from banger.host.thread import in_thread
from banger.machines.ask.log_times import turned_over
from banger.machines.life.live import LiveMachine

log = logging.getLogger("banger.machines")

LIMIT_BYTES = 8 << 20
# A VMM may write more than the limit before it is noticed; a hostile one much more.
_KEPT_BYTES = 2 * LIMIT_BYTES


async def turn_over_logs(live: LiveMachine) -> None:
    """Turn over the machine's logs that have become too long."""
    for path in (live.places.console_log, live.places.vmm_log):
        if foreign_size(path) > LIMIT_BYTES:
            await in_thread(turn_over, path)


def turn_over(path: Path) -> None:
    """Blocking. If there is no space for a copy, the old contents are lost: the limit holds."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fd = open_foreign(path, os.O_RDWR)
    except OSError as exc:
        log.warning("%s cannot be turned over: %s", path, exc.strerror)
        return
    try:
        copy_end(fd, fresh, _KEPT_BYTES)
        os.replace(fresh, turned_over(path))
    except OSError as exc:
        log.warning("%s could not be kept: %s", path, exc.strerror)
        discard(fresh)
    finally:
        os.ftruncate(fd, 0)
        os.close(fd)
