"""Secrets: what is known of each, and its value, sealed. This room has no key."""

from __future__ import annotations

from banger.model.encoding import encode_json
from banger.model.secret import Secret
from banger.store.damage import Damage, Reader
from banger.store.database import Database


class SecretTable:
    def __init__(self, database: Database, damage: Damage) -> None:
        self._db = database
        self._reader = Reader(damage, "secrets", Secret)

    def put(self, secret: Secret, sealed: bytes) -> None:
        self._db.execute(
            "INSERT INTO secrets (name, record, sealed) VALUES (?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET record = excluded.record, sealed = excluded.sealed",
            (secret.name, encode_json(secret), sealed),
        )

    def get(self, name: str) -> Secret | None:
        rows = self._db.rows("SELECT rowid, name, record FROM secrets WHERE name = ?", (name,))
        found = self._reader.read(rows)
        return found[0] if found else None

    def sealed(self, name: str) -> bytes:
        """Empty for a secret that is not there."""
        rows = self._db.rows("SELECT sealed FROM secrets WHERE name = ?", (name,))
        return bytes(rows[0][0]) if rows else b""

    def all(self) -> list[Secret]:
        return self._reader.read(self._db.rows("SELECT rowid, name, record FROM secrets ORDER BY name"))

    def count(self) -> int:
        ((count,),) = self._db.rows("SELECT count(*) FROM secrets")
        return int(count)

    def delete(self, name: str) -> bool:
        return self._db.execute("DELETE FROM secrets WHERE name = ?", (name,)).rowcount > 0
