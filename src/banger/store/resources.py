"""The record of intended host resources: how to tear each one down, written before it is acquired.

    with an open store:   note(machine, kind, identity)   then acquire
                          release                         then clear(id)

A resource can be released from its record alone; teardown begins with the newest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from banger.errors import Error
from banger.model.event import Tell, tell_nobody
from banger.store.damage import Damage, Reader
from banger.store.database import Database

Identity = dict[str, str | int]


class Resource(NamedTuple):
    id: int
    machine: str
    kind: str
    identity: Identity


class ResourceTable:
    def __init__(self, database: Database, damage: Damage) -> None:
        self._db = database
        self._reader = Reader(damage, "resources", dict[str, str | int])
        self.unreleased: dict[int, Error] = {}
        """By record: why the last attempt to release the resource failed."""
        self.tell: Tell = tell_nobody
        self._followers: list[list[Identity]] = []

    def note(self, machine: str, kind: str, identity: Identity) -> int:
        """Record the intent to acquire a resource. Returns the id of the record."""
        cursor = self._db.execute(
            "INSERT INTO resources (machine, kind, identity) VALUES (?, ?, ?)",
            (machine, kind, msgspec.json.encode(identity)),
        )
        assert cursor.lastrowid is not None
        for known in self._followers:
            known.append(identity)
        return cursor.lastrowid

    def update(self, resource_id: int, identity: Identity) -> None:
        """Add to the record of a resource that is now acquired (its pid)."""
        self._db.execute(
            "UPDATE resources SET identity = ? WHERE id = ?",
            (msgspec.json.encode(identity), resource_id),
        )

    def clear(self, resource_id: int) -> None:
        self._db.execute("DELETE FROM resources WHERE id = ?", (resource_id,))
        error = self.unreleased.pop(resource_id, None)
        if error is not None:
            self.tell("resource.released", "host", f"released at last; before that: {error.message}")

    def keep(self, resource_id: int, error: Error) -> None:
        """Keep the record of a resource that could not be released, for the next attempt. Tells the journal if the
        error is new."""
        known = self.unreleased.get(resource_id)
        self.unreleased[resource_id] = error
        if known is None or known.as_dict() != error.as_dict():
            self.tell("resource.unreleased", "host", error.message, code=error.code)

    def hand_over(self, owner: str, heir: str) -> None:
        """Transfer everything that `owner` holds to `heir`, at once."""
        self._db.execute("UPDATE resources SET machine = ? WHERE machine = ?", (heir, owner))

    def of_machine(self, machine: str) -> list[Resource]:
        """The resources of a machine, the newest first: the order of teardown."""
        return self._read(
            self._db.rows(
                "SELECT id, machine, kind, identity FROM resources WHERE machine = ? ORDER BY id DESC",
                (machine,),
            )
        )

    def of_kind(self, kind: str) -> list[Resource]:
        """The resources of one kind, of all machines, the newest first."""
        return self._read(
            self._db.rows(
                "SELECT id, machine, kind, identity FROM resources WHERE kind = ? ORDER BY id DESC", (kind,)
            )
        )

    def all(self) -> list[Resource]:
        return self._read(self._db.rows("SELECT id, machine, kind, identity FROM resources ORDER BY id DESC"))

    @contextlib.contextmanager
    def followed(self) -> Iterator[list[Identity]]:
        """The identities in all records, also in records that are made within the block. The identity of a record that
        is cleared meanwhile stays: a resource may be acquired and released within the block."""
        known = [resource.identity for resource in self.all()]
        self._followers.append(known)
        try:
            yield known
        finally:
            self._followers = [each for each in self._followers if each is not known]

    def _read(self, rows: list[tuple[Any, ...]]) -> list[Resource]:
        found = []
        for number, machine, kind, identity in rows:
            for readable in self._reader.read([(number, f"{kind} of {machine}", identity)]):
                found.append(Resource(number, machine, kind, readable))
        return found
