"""Commits reach the disk a moment later, and no caller waits for that.

A sync with each commit (synchronous=FULL) would block the daemon's loop each time: for some milliseconds, and up to a
second on a busy disk. So a thread syncs the log, once for all commits of a moment.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from banger.host.fs import sync_path
from banger.host.thread import in_thread
from banger.store.database import Database

log = logging.getLogger("banger.store")

# A start commits some ten times; one sync covers most of these commits.
DELAY_S = 0.05


class LogSync:
    """Lives as long as the daemon; created and closed in its event loop. At most one sync runs at a time."""

    def __init__(self, database: Database) -> None:
        self._log = Path(f"{database.path}-wal")
        self._due: asyncio.TimerHandle | None = None
        self._syncing: asyncio.Task[None] | None = None
        self._is_behind = self._is_closed = False
        database.on_commit = self.note

    def note(self) -> None:
        """Call this after each commit."""
        self._is_behind = True
        if self._due is None and self._syncing is None and not self._is_closed:
            self._due = asyncio.get_running_loop().call_later(DELAY_S, self._begin)

    async def close(self) -> None:
        """Call this before the store is closed, which syncs the rest."""
        self._is_closed = True
        if self._due is not None:
            self._due.cancel()
        if self._syncing is not None:
            await asyncio.wait([self._syncing])

    def _begin(self) -> None:
        self._due, self._is_behind = None, False
        self._syncing = asyncio.create_task(self._sync(), name="sync the store's log")

    async def _sync(self) -> None:
        """Sync the log through a descriptor of its own: SQLite's locks are on other files."""
        try:
            await in_thread(sync_path, self._log)
        except FileNotFoundError:
            pass  # SQLite has copied all of it into the store's file
        except OSError as exc:
            log.warning("the store's log is not synced: %s", exc)
        self._syncing = None
        if self._is_behind:
            self.note()
