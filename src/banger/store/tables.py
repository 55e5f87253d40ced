"""Tables of records: a struct as JSON beside the columns it is looked up by."""

from __future__ import annotations

import sqlite3
from typing import Generic, Protocol, TypeVar

import msgspec

from banger.errors import Error
from banger.model.machine import Machine
from banger.model.operation import Operation
from banger.store.database import Database


class Named(Protocol):
    name: str


R = TypeVar("R", bound=Named)


class NamedTable(Generic[R]):
    """Records that are known by their name: images, kernels."""

    def __init__(self, database: Database, table: str, kind: type[R]) -> None:
        self._db = database
        self._table = table
        self._decoder = msgspec.json.Decoder(kind)

    def put(self, record: R) -> None:
        self._db.execute(
            f"INSERT INTO {self._table} (name, record) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET record = excluded.record",
            (record.name, msgspec.json.encode(record)),
        )

    def get(self, name: str) -> R | None:
        row = self._db.execute(f"SELECT record FROM {self._table} WHERE name = ?", (name,)).fetchone()
        return None if row is None else self._decoder.decode(row[0])

    def all(self) -> list[R]:
        rows = self._db.execute(f"SELECT record FROM {self._table} ORDER BY name")
        return [self._decoder.decode(row[0]) for row in rows]

    def delete(self, name: str) -> bool:
        cursor = self._db.execute(f"DELETE FROM {self._table} WHERE name = ?", (name,))
        return cursor.rowcount > 0


class MachineTable:
    """Machines, by id and by unique name."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._decoder = msgspec.json.Decoder(Machine)

    def add(self, machine: Machine) -> None:
        """Raises `name_taken`."""
        try:
            self._db.execute(
                "INSERT INTO machines (id, name, record) VALUES (?, ?, ?)",
                (machine.id, machine.name, msgspec.json.encode(machine)),
            )
        except sqlite3.IntegrityError as exc:
            raise Error(
                "name_taken",
                f"a machine named {machine.name!r} exists",
                f"choose another --name, or: banger vm delete {machine.name}",
            ) from exc

    def put(self, machine: Machine) -> None:
        self._db.execute(
            "UPDATE machines SET record = ? WHERE id = ?",
            (msgspec.json.encode(machine), machine.id),
        )

    def all(self) -> list[Machine]:
        rows = self._db.execute("SELECT record FROM machines ORDER BY rowid")
        return [self._decoder.decode(row[0]) for row in rows]

    def delete(self, machine_id: str) -> None:
        self._db.execute("DELETE FROM machines WHERE id = ?", (machine_id,))


class OperationTable:
    """Operations, the newest last."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._decoder = msgspec.json.Decoder(Operation)

    def put(self, operation: Operation) -> None:
        self._db.execute(
            "INSERT INTO operations (id, begun, ended, record) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, record = excluded.record",
            (operation.id, operation.begun, operation.ended, msgspec.json.encode(operation)),
        )

    def all(self) -> list[Operation]:
        rows = self._db.execute("SELECT record FROM operations ORDER BY begun, rowid")
        return [self._decoder.decode(row[0]) for row in rows]

    def prune(self, ended_before: str, keep: int) -> int:
        """Forget operations that ended before then, and all but the newest `keep` ended ones."""
        cursor = self._db.execute(
            "DELETE FROM operations WHERE ended != '' AND (ended < ? OR id NOT IN "
            "(SELECT id FROM operations ORDER BY begun DESC, rowid DESC LIMIT ?))",
            (ended_before, keep),
        )
        return cursor.rowcount
