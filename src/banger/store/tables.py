"""Tables of records: each row has a struct as JSON, and the columns by which it is looked up."""

from __future__ import annotations

import sqlite3
from typing import Any, Generic, Protocol, TypeVar

from banger.errors import Error
from banger.model.encoding import encode_json
from banger.model.machine import Machine
from banger.model.operation import Operation
from banger.store.damage import Damage, Reader
from banger.store.database import Database


class Named(Protocol):
    @property
    def name(self) -> str: ...


R = TypeVar("R", bound=Named)


class NamedTable(Generic[R]):
    """Records that are found by name: images, kernels, networks, volumes."""

    def __init__(self, database: Database, damage: Damage, table: str, kind: type[R]) -> None:
        self._db = database
        self._table = table
        self._reader = Reader(damage, table, kind)

    def put(self, record: R) -> None:
        self._db.execute(
            f"INSERT INTO {self._table} (name, record) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET record = excluded.record",
            (record.name, encode_json(record)),
        )

    def get(self, name: str) -> R | None:
        found = self._reader.read(
            self._db.rows(f"SELECT rowid, name, record FROM {self._table} WHERE name = ?", (name,))
        )
        return found[0] if found else None

    def all(self) -> list[R]:
        return self._reader.read(
            self._db.rows(f"SELECT rowid, name, record FROM {self._table} ORDER BY name")
        )

    def delete(self, name: str) -> bool:
        cursor = self._db.execute(f"DELETE FROM {self._table} WHERE name = ?", (name,))
        return cursor.rowcount > 0


class MachineTable:
    """Machines, by id and by unique name."""

    def __init__(self, database: Database, damage: Damage) -> None:
        self._db = database
        self._reader = Reader(damage, "machines", Machine)

    def add(self, machine: Machine) -> None:
        """Raises `name_taken`."""
        try:
            self._db.execute(
                "INSERT INTO machines (id, name, record) VALUES (?, ?, ?)",
                (machine.id, machine.name, encode_json(machine)),
            )
        except sqlite3.IntegrityError as exc:
            hint = f"choose another --name, or run banger vm delete {machine.name}"
            raise name_taken(machine.name, hint) from exc

    def put(self, machine: Machine) -> None:
        """Write a machine's record; also of one whose row was lost."""
        self._db.execute(
            "INSERT INTO machines (id, name, record) VALUES (?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET record = excluded.record",
            (machine.id, machine.name, encode_json(machine)),
        )

    def give_name(self, machine: Machine) -> None:
        """Write the name by which the row is found; `put` writes the record. The name is free."""
        self._db.execute("UPDATE machines SET name = ? WHERE id = ?", (machine.name, machine.id))

    def all(self) -> list[Machine]:
        return self._reader.read(self._db.rows("SELECT rowid, name, record FROM machines ORDER BY rowid"))

    def delete(self, machine_id: str) -> None:
        self._db.execute("DELETE FROM machines WHERE id = ?", (machine_id,))


class OperationTable:
    """Operations, the newest last."""

    def __init__(self, database: Database, damage: Damage) -> None:
        self._db = database
        self._reader = Reader(damage, "operations", Operation[Any])

    def put(self, operation: Operation[Any]) -> None:
        self._db.execute(
            "INSERT INTO operations (id, begun, ended, record) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, record = excluded.record",
            (operation.id, operation.begun, operation.ended, encode_json(operation)),
        )

    def all(self) -> list[Operation[Any]]:
        return self._reader.read(
            self._db.rows("SELECT rowid, id, record FROM operations ORDER BY begun, rowid")
        )

    def ids(self) -> list[str]:
        return [row[0] for row in self._db.rows("SELECT id FROM operations")]

    def prune(self, ended_before: str, keep: int) -> int:
        """Delete operations that ended before `ended_before`, and ended ones beyond the newest `keep`."""
        cursor = self._db.execute(
            "DELETE FROM operations WHERE ended != '' AND (ended < ? OR id NOT IN "
            "(SELECT id FROM operations WHERE ended != '' ORDER BY ended DESC, rowid DESC LIMIT ?))",
            (ended_before, keep),
        )
        return cursor.rowcount


def name_taken(name: str, hint: str) -> Error:
    return Error("name_taken", f"a machine named {name!r} exists already", hint)
