"""Idempotency keys: which request made which machine. Each key is kept for a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from banger.store.database import Database

KEEP = timedelta(hours=24)
KEEP_COUNT = 10_000


class Made(NamedTuple):
    """The machine's id, and the checksum of the request that made the machine."""

    machine: str
    request: str


class KeyTable:
    def __init__(self, database: Database) -> None:
        self._db = database

    def find(self, key: str) -> Made | None:
        found = self._db.rows(
            "SELECT machine, request FROM idempotency_keys WHERE key = ? AND made > ?",
            (key, _moment(KEEP)),
        )
        return Made(*found[0]) if found else None

    def put(self, key: str, made: Made) -> None:
        """Record a key, and delete expired keys, and the oldest if there are too many. Belongs to the caller's
        transaction."""
        self._db.execute("DELETE FROM idempotency_keys WHERE made <= ?", (_moment(KEEP),))
        ((count,),) = self._db.rows("SELECT count(*) FROM idempotency_keys")
        if count >= KEEP_COUNT:
            self._db.execute(
                "DELETE FROM idempotency_keys WHERE rowid IN "
                "(SELECT rowid FROM idempotency_keys ORDER BY made, rowid LIMIT ?)",
                (count - KEEP_COUNT + 1,),
            )
        self._db.execute(
            "INSERT INTO idempotency_keys (key, made, machine, request) VALUES (?, ?, ?, ?)",
            (key, _moment(timedelta()), made.machine, made.request),
        )


def _moment(ago: timedelta) -> str:
    return (datetime.now(UTC) - ago).isoformat(timespec="milliseconds")
