"""The SQLite file: opening it, its version, transactions.

WAL with synchronous=NORMAL: a killed daemon loses nothing that was committed; a host that loses power may lose
the last commits, but then its VMs are gone too, and reconcile looks at what is really there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from banger.errors import Error
from banger.store.migrations import STEPS

T = TypeVar("T")


class Database:
    """An open store. Used from the daemon's event loop alone; statements take some 20-100 µs."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        try:
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._prepare()
        except sqlite3.DatabaseError as exc:
            raise Error(
                "store_damaged",
                f"the store {path} cannot be read: {exc}",
                "move it away and start again; running machines are listed by their processes",
            ) from exc

    def _prepare(self) -> None:
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")
        self.execute("PRAGMA foreign_keys=ON")
        version = self.version()
        if version > len(STEPS):
            raise Error(
                "store_too_new",
                f"the store {self.path} has version {version}, this banger knows {len(STEPS)}",
                "update banger, or use another BANGER_HOME",
            )
        for number, step in enumerate(STEPS[version:], start=version + 1):
            with self.transaction():
                for statement in step.split(";"):
                    self.execute(statement)
                self.execute(f"PRAGMA user_version={number}")

    def version(self) -> int:
        return int(self.execute("PRAGMA user_version").fetchone()[0])

    def execute(self, statement: str, parameters: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Raises `insufficient_disk`; what was to be written then is not."""
        try:
            return self._connection.execute(statement, parameters)
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            raise Error(
                "insufficient_disk", f"no room is left for the store {self.path}", "make room there"
            ) from exc

    def together(self, work: Callable[[], T]) -> T:
        """All of what `work` writes, or nothing. Within another one it belongs to that."""
        if self._connection.in_transaction:
            return work()
        with self.transaction():
            return work()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Not nested, and nothing in it awaits."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk ends it, too
                self.execute("ROLLBACK")
            raise

    def close(self) -> None:
        self._connection.close()
