"""Damage of the store: what was found, in words, with the bytes of records that can no longer be read.

A record that cannot be decoded is set aside: its name is free again, and the daemon continues without it. Damage is
logged, told as an event, and kept in a table for people to look at.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec

from banger.errors import Error
from banger.host.times import now
from banger.store.database import Database

log = logging.getLogger("banger.store")

_KEEP = 1000
_LISTED = 100
T = TypeVar("T")


class Damage:
    """The damage of one open store. A listener also hears of damage that was found before it began to listen."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._untold: deque[str] = deque(maxlen=_KEEP)
        self._listener: Callable[[str], None] | None = None
        for what in database.damage:
            self.note(what)
        database.on_damage = self.note

    def listen(self, listener: Callable[[str], None]) -> None:
        self._listener = listener
        untold = [*self._untold]
        self._untold.clear()
        for what in untold:
            listener(what)

    def note(self, what: str, record: bytes = b"") -> None:
        """Record damage. If the disk has no space for that, only the daemon's log has it."""
        log.error("%s", what)
        try:
            self._write(what, record)
        except Error as exc:
            log.error("this is not written down: %s", exc.message)
            return
        self._tell(what)

    def set_aside(self, table: str, rowid: int, what: str, record: bytes) -> None:
        """Move a row that cannot be read to the table of damage. The row stays where it is until there is space for
        that."""

        def write() -> None:
            self._db.execute(f"DELETE FROM {table} WHERE rowid = ?", (rowid,))
            self._write(what, record)

        log.error("%s", what)
        try:
            self._db.together(write)
        except Error as exc:
            log.error("it stays where it is: %s", exc.message)
            return
        self._tell(what)

    def _write(self, what: str, record: bytes) -> None:
        self._db.execute("INSERT INTO damage (found, what, record) VALUES (?, ?, ?)", (now(), what, record))
        self._db.execute("DELETE FROM damage WHERE id <= (SELECT max(id) FROM damage) - ?", (_KEEP,))

    def _tell(self, what: str) -> None:
        if self._listener is None:
            self._untold.append(what)
        else:
            self._listener(what)

    def all(self) -> list[str]:
        """The latest entries, the newest last, each with its time."""
        rows = self._db.rows("SELECT found, what FROM damage ORDER BY id DESC LIMIT ?", (_LISTED,))
        return [f"{found}: {what}" for found, what in reversed(rows)]


class Reader(Generic[T]):
    """Decodes the records of one table."""

    def __init__(self, damage: Damage, table: str, kind: type[T]) -> None:
        self._damage = damage
        self._table = table
        self._decoder = msgspec.json.Decoder(kind)

    def read(self, rows: Iterable[tuple[int, str, bytes]]) -> list[T]:
        """Decode rows of (rowid, name for people, record). Rows that cannot be decoded are set aside."""
        found = []
        for rowid, name, record in rows:
            try:
                found.append(self._decoder.decode(record))
            except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, RecursionError) as exc:
                self._set_aside(rowid, name, record, str(exc))
        return found

    def _set_aside(self, rowid: int, name: str, record: object, reason: str) -> None:
        kept = record if isinstance(record, bytes) else str(record).encode()
        what = f"the record of {name!r} in {self._table} cannot be read ({reason}); it is set aside"
        self._damage.set_aside(self._table, rowid, what, kept)
