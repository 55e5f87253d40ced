"""The journal's table: appended to, read forwards from a number; the oldest events are deleted in batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from banger.host.times import now
from banger.model.encoding import encode_json
from banger.model.event import Event
from banger.store.database import Database

KEEP = 100_000
# After this many new events, the same number of the oldest are deleted: no deletion takes long.
_BATCH = 50


class EventTable:
    """Numbers are consecutive, except where events were deleted or lost with a damaged page."""

    def __init__(self, database: Database, keep: int = KEEP) -> None:
        self._db = database
        self._keep = keep
        self._data = msgspec.json.Decoder(dict[str, Any])

    def append(
        self,
        kind: str,
        target: str,
        message: str,
        data: dict[str, object],
        written: Callable[[int], None] = lambda seq: None,
    ) -> int:
        """Append an event and return its number. It belongs to the caller's transaction, if there is one; `written`
        gets the number after the commit."""
        cursor = self._db.execute(
            "INSERT INTO events (time, kind, target, message, data) VALUES (?, ?, ?, ?, ?)",
            (now(), kind, target, message, encode_json(data)),
        )
        seq = cursor.lastrowid
        assert seq is not None
        self._db.when_written(lambda: written(seq))
        if seq % _BATCH == 0:
            self._db.execute("DELETE FROM events WHERE seq <= ?", (seq - self._keep,))
        return seq

    def page(self, after: int, limit: int) -> list[Event]:
        """The events after number `after`, at most `limit` of them; some 2 ms for a thousand."""
        rows = self._db.rows(
            "SELECT seq, time, kind, target, message, data FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [self._read(row) for row in rows]

    def newest(self) -> int:
        """The highest number so far; 0 for none."""
        found = self._db.rows("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        return int(found[0][0]) if found else 0

    def _read(self, row: tuple[Any, ...]) -> Event:
        """An event whose data cannot be read loses only the data."""
        seq, *texts, raw = row
        time, kind, target, message = map(str, texts)
        try:
            data = self._data.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError):
            data = {"damaged": True}
        return Event(seq=seq, time=time, kind=kind, target=target, message=message, data=data)
