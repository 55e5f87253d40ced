"""Limit the logs that VMMs write: a log beyond a size is copied to FILE.1 and begins again, empty.

A VMM keeps its log open for appending, so the file itself stays: it is copied, then truncated. What the VMM writes
between the two steps is lost.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from pathlib import Path

from banger.host.fs import discard
from banger.host.thread import in_thread
from banger.machines.ask.logs import turned_over
from banger.machines.life.live import LiveMachine

log = logging.getLogger("banger.machines")

LIMIT_BYTES = 8 << 20


async def turn_over_logs(live: LiveMachine) -> None:
    """Turn over the machine's logs that have become too long."""
    for path in (live.places.console_log, live.places.vmm_log):
        if _size(path) > LIMIT_BYTES:
            await in_thread(turn_over, path)


def turn_over(path: Path) -> None:
    """Blocking. If there is no space for a copy, the old contents are lost: the limit holds."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        shutil.copyfile(path, fresh)
        os.replace(fresh, turned_over(path))
    except OSError as exc:
        log.warning("%s could not be kept: %s", path, exc.strerror)
        discard(fresh)
    with contextlib.suppress(FileNotFoundError):
        os.truncate(path, 0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
