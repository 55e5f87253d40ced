"""Logs that VMMs write by themselves, kept from growing: past a size they become FILE.1, and begin anew.

A VMM has its log open for appending, so the file keeps its place: it is copied, then cut. What is written between the
two is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from pathlib import Path

from banger.machines.live import LiveMachine
from banger.machines.logs import turned_over
from banger.machines.parts import Parts

log = logging.getLogger("banger.machines")

LIMIT_BYTES = 8 << 20
_LOOK_S = 10.0


class LogTurns:
    """Lives as long as the daemon; looks every 10 s, while there is a machine that runs."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._looking: asyncio.Task[None] | None = None
        parts.on_live.append(self.watch)

    def watch(self, live: LiveMachine) -> None:
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="logs of machines")

    def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        while self._parts.live:
            await asyncio.sleep(_LOOK_S)
            for live in [*self._parts.live.values()]:
                for path in (live.places.console_log, live.places.vmm_log):
                    if _size(path) > LIMIT_BYTES:
                        await asyncio.to_thread(turn_over, path)
        self._looking = None


def turn_over(path: Path) -> None:
    """Blocking. Where there is no room for a copy, what was logged is dropped: the limit holds."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        shutil.copyfile(path, fresh)
        os.replace(fresh, turned_over(path))
    except OSError as exc:
        log.warning("%s could not be kept: %s", path, exc.strerror)
        fresh.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.truncate(path, 0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
