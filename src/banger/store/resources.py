"""The record of intended host resources: how to tear each one down, written before it is acquired.

    with an open store:   note(machine, kind, identity)   then acquire
                          release                         then clear(id)

Whoever finds a record can undo it from the record alone; teardown runs newest first.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from banger.store.database import Database

Identity = dict[str, str | int]


class Resource(NamedTuple):
    id: int
    machine: str
    kind: str
    identity: Identity


class ResourceTable:
    def __init__(self, database: Database) -> None:
        self._db = database

    def note(self, machine: str, kind: str, identity: Identity) -> int:
        """Record the intent; its id."""
        cursor = self._db.execute(
            "INSERT INTO resources (machine, kind, identity) VALUES (?, ?, ?)",
            (machine, kind, msgspec.json.encode(identity)),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def update(self, resource_id: int, identity: Identity) -> None:
        """Say more about a resource that is now acquired (its pid)."""
        self._db.execute(
            "UPDATE resources SET identity = ? WHERE id = ?",
            (msgspec.json.encode(identity), resource_id),
        )

    def clear(self, resource_id: int) -> None:
        self._db.execute("DELETE FROM resources WHERE id = ?", (resource_id,))

    def hand_over(self, owner: str, heir: str) -> None:
        """All that `owner` holds is `heir`'s now, at once."""
        self._db.execute("UPDATE resources SET machine = ? WHERE machine = ?", (heir, owner))

    def of_machine(self, machine: str) -> list[Resource]:
        """The newest first: the order of teardown."""
        rows = self._db.execute(
            "SELECT id, machine, kind, identity FROM resources WHERE machine = ? ORDER BY id DESC",
            (machine,),
        )
        return [_read(row) for row in rows]

    def all(self) -> list[Resource]:
        rows = self._db.execute("SELECT id, machine, kind, identity FROM resources ORDER BY id DESC")
        return [_read(row) for row in rows]


def _read(row: tuple[int, str, str, bytes]) -> Resource:
    return Resource(row[0], row[1], row[2], msgspec.json.decode(row[3], type=Identity))
