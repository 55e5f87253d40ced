"""Tokens: the checksum of each secret, never the secret."""

from __future__ import annotations

import sqlite3

import msgspec

from banger.errors import Error
from banger.model.access import Token
from banger.model.encoding import encode_json
from banger.store.damage import Damage, Reader
from banger.store.database import Database


class TokenTable:
    def __init__(self, database: Database, damage: Damage) -> None:
        self._db = database
        self._reader = Reader(damage, "tokens", Token)

    def add(self, token: Token, digest: str) -> None:
        """Raises `name_taken`."""
        try:
            self._db.execute(
                "INSERT INTO tokens (name, digest, record) VALUES (?, ?, ?)",
                (token.name, digest, encode_json(token)),
            )
        except sqlite3.IntegrityError as exc:
            hint = f"choose another name, or run banger token revoke {token.name}"
            raise Error("name_taken", f"a token named {token.name!r} exists already", hint) from exc

    def find(self, digest: str) -> Token | None:
        """The token of the secret with this checksum."""
        found = self._reader.read(
            self._db.rows("SELECT rowid, name, record FROM tokens WHERE digest = ?", (digest,))
        )
        return found[0] if found else None

    def named(self, name: str) -> Token | None:
        found = self._reader.read(
            self._db.rows("SELECT rowid, name, record FROM tokens WHERE name = ?", (name,))
        )
        return found[0] if found else None

    def note_use(self, token: Token, moment: str) -> None:
        used = msgspec.structs.replace(token, used=moment)
        self._db.execute("UPDATE tokens SET record = ? WHERE name = ?", (encode_json(used), token.name))

    def all(self) -> list[Token]:
        return self._reader.read(self._db.rows("SELECT rowid, name, record FROM tokens ORDER BY name"))

    def delete(self, name: str) -> bool:
        return self._db.execute("DELETE FROM tokens WHERE name = ?", (name,)).rowcount > 0
