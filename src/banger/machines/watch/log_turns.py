"""Logs that VMMs write by themselves, kept from growing: past a size they become FILE.1, and begin anew.

A VMM has its log open for appending, so the file keeps its place: it is copied, then cut. What is written between the
two is lost.
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
    """Those that have become too long."""
    for path in (live.places.console_log, live.places.vmm_log):
        if _size(path) > LIMIT_BYTES:
            await in_thread(turn_over, path)


def turn_over(path: Path) -> None:
    """Blocking. Where there is no room for a copy, what was logged is dropped: the limit holds."""
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
