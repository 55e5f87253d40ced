"""A store in which a write fails that the test chooses, and what is really in its file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from banger.model.machine import Machine
from banger.model.operation import Operation
from banger.store.store import Store

_WRITES = ("BEGIN", "INSERT", "UPDATE", "DELETE", "COMMIT")


class FailingConnection:
    """Of SQLite, in the place of the real one: counts what writes, and fails at number `fails_at`, or from there on."""

    def __init__(self, connection: sqlite3.Connection, code: int) -> None:
        self._connection = connection
        self._code = code
        self.writes = 0  # while one was to fail
        self.fails_at = 0
        self.goes_on_failing = False

    def execute(self, statement: str, parameters: tuple[object, ...] = ()) -> sqlite3.Cursor:
        if statement.lstrip().upper().startswith(_WRITES):
            self.writes += bool(self.fails_at)
            is_later = self.goes_on_failing and self.writes > self.fails_at
            if self.fails_at and (self.writes == self.fails_at or is_later):
                failure = sqlite3.OperationalError("planted")
                failure.sqlite_errorcode = self._code
                raise failure
        return self._connection.execute(statement, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def plant(store: Store, code: int) -> FailingConnection:
    """From now on the store's writes may be made to fail."""
    database: Any = store.database
    database._connection = failing = FailingConnection(database._connection, code)
    return failing


def written_machines(path: Path) -> dict[str, Machine]:
    """What another process would find: all that is committed, and nothing else."""
    return {machine.id: machine for machine in _written(path, "machines", Machine)}


def written_operations(path: Path) -> dict[str, Operation[Any]]:
    return {operation.id: operation for operation in _written(path, "operations", Operation)}


def _written(path: Path, table: str, kind: Any) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"SELECT record FROM {table}").fetchall()
    return [msgspec.json.decode(record, type=kind) for (record,) in rows]


def newest_event(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute("SELECT max(seq) FROM events").fetchone()
    return int(row[0] or 0)
