"""Secrets at rest: the form of a sealed value, what a change of it or of its key does, and what is told of them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.errors import Error
from banger.model.sizes import SECRET_MAX_BYTES
from banger.store.store import Store
from banger.vault.key_file import KeyFile
from banger.vault.sealing import KEY_BYTES, OVERHEAD_BYTES, id_of, seal, unseal
from banger.vault.vault import COUNT_MAX, Vault

KEY, OTHER = bytes(range(KEY_BYTES)), bytes(KEY_BYTES)
CANARY = b"correct horse battery staple"
MOMENT = "2026-01-31T12:00:00.000Z"


class Safe:
    """A store with a vault, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key = directory / "secrets.key"
        self.told: list[tuple[str, str, str]] = []
        self.store = Store(directory / "banger.db")
        self.vault = Vault(self.store.secrets, KeyFile(self.key), self.tell)

    def tell(self, kind: str, target: str, message: str, /, **data: object) -> None:
        self.told.append((kind, target, f"{message} {data}"))

    def set(
        self, name: str, value: bytes, labels: dict[str, str] | None = None, replace: bool = True
    ) -> None:
        asyncio.run(self.vault.set(name, value, labels, replace=replace))

    def open(self, name: str) -> bytes:
        return asyncio.run(self.vault.open(name))

    def refused(self, name: str) -> Error:
        with pytest.raises(Error) as caught:
            self.open(name)
        return caught.value

    def sql(self, statement: str, *values: object) -> None:
        """As somebody else who can write the file."""
        with sqlite3.connect(self.directory / "banger.db") as raw:
            raw.execute(statement, values)
        raw.close()

    def left(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.directory.iterdir() if path.is_file())


@pytest.fixture
def safe(tmp_path: Path) -> Iterator[Safe]:
    safe = Safe(tmp_path)
    yield safe
    safe.store.close()


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_come_back_and_none_of_them_shows(value: bytes) -> None:
    sealed = seal(KEY, "name", MOMENT, value)
    assert len(sealed) == len(value) + OVERHEAD_BYTES
    assert len(value) < 16 or value not in sealed
    assert unseal(KEY, "name", MOMENT, sealed) == value
    assert seal(KEY, "name", MOMENT, value) != sealed


def test_each_flipped_bit_is_noticed() -> None:
    sealed = seal(KEY, "name", MOMENT, CANARY)
    for place in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(Error) as caught:
            unseal(KEY, "name", MOMENT, bytes(changed))
        is_of_key = 8 <= place // 8 < 16
        assert caught.value.code == ("secret_key_lost" if is_of_key else "secret_damaged")
        assert "name" in caught.value.message and caught.value.hint


@pytest.mark.parametrize("length", [0, 1, 8, 27, 28, 43])
def test_what_is_cut_off_is_noticed(length: int) -> None:
    with pytest.raises(Error) as caught:
        unseal(KEY, "name", MOMENT, seal(KEY, "name", MOMENT, b"")[:length])
    assert caught.value.code == "secret_damaged"


def test_a_value_opens_with_its_name_its_time_and_its_key_only() -> None:
    sealed = seal(KEY, "name", MOMENT, CANARY)
    for key, name, moment, code in (
        (KEY, "other", MOMENT, "secret_damaged"),
        (KEY, "name", "2025" + MOMENT[4:], "secret_damaged"),
        (OTHER, "name", MOMENT, "secret_key_lost"),
    ):
        with pytest.raises(Error) as caught:
            unseal(key, name, moment, sealed)
        assert caught.value.code == code
    assert id_of(KEY) != id_of(OTHER) and id_of(KEY) not in KEY


def test_a_value_is_in_no_file_in_clear_and_in_no_event(safe: Safe) -> None:
    for number in range(20):
        safe.set(f"canary-{number}", CANARY * 100)
    assert CANARY not in safe.left()
    assert safe.open("canary-7") == CANARY * 100
    safe.vault.delete("canary-7")
    assert CANARY not in safe.left()
    assert CANARY.decode() not in repr(safe.told) + repr(safe.vault.all())
    assert [kind for kind, _, _ in safe.told] == ["secret.set"] * 20 + ["secret.deleted"]


def test_a_secret_gets_a_new_value_and_keeps_its_labels(safe: Safe) -> None:
    safe.set("db", b"one", {"team": "shop"})
    safe.set("db", b"two\n\0")
    (secret,) = safe.vault.all()
    assert safe.open("db") == b"two\n\0"
    assert secret.labels == {"team": "shop"} and secret.created <= secret.changed
    with pytest.raises(Error) as caught:
        safe.set("db", b"three", replace=False)
    assert caught.value.code == "name_taken"
    assert safe.open("db") == b"two\n\0"


def test_values_that_were_swapped_do_not_open(safe: Safe) -> None:
    safe.set("one", b"1")
    safe.set("two", b"2")
    safe.sql("UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'two') WHERE name = 'one'")
    assert safe.refused("one").code == "secret_damaged"
    assert safe.open("two") == b"2"


def test_a_changed_byte_in_the_store_names_the_secret(safe: Safe) -> None:
    safe.set("one", b"1")
    safe.sql("UPDATE secrets SET sealed = CAST(substr(sealed, 1, 28) || x'00' || substr(sealed, 30) AS BLOB)")
    error = safe.refused("one")
    assert error.code == "secret_damaged" and "banger secret set one" in error.hint


def test_a_lost_key_is_named_and_not_replaced(safe: Safe) -> None:
    safe.set("one", b"1")
    kept = safe.key.read_bytes()
    safe.key.unlink()
    error = safe.refused("one")
    assert error.code == "secret_key_lost" and str(safe.key) in error.message and error.hint
    with pytest.raises(Error) as caught:
        safe.set("two", b"2")
    assert caught.value.code == "secret_key_lost" and not safe.key.exists()
    safe.key.write_bytes(kept)
    safe.key.chmod(0o600)
    assert safe.open("one") == b"1"


def test_without_secrets_a_lost_key_is_made_again(safe: Safe) -> None:
    safe.set("one", b"1")
    kept = safe.key.read_bytes()
    safe.key.unlink()
    safe.vault.delete("one")
    safe.set("one", b"2")
    assert safe.open("one") == b"2" and safe.key.read_bytes() != kept


def test_another_key_opens_nothing_and_says_so(safe: Safe) -> None:
    safe.set("one", b"1")
    safe.key.write_bytes(OTHER)
    assert safe.refused("one").code == "secret_key_lost"
    safe.set("one", b"2")
    assert safe.open("one") == b"2"


def test_a_key_is_private_and_not_in_the_store(safe: Safe) -> None:
    safe.set("one", b"1")
    key = safe.key.read_bytes()
    assert len(key) == KEY_BYTES and safe.key.stat().st_mode & 0o777 == 0o600
    assert key not in b"".join(path.read_bytes() for path in safe.directory.glob("banger.db*"))
    assert not [*safe.directory.glob(".*")]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_may_read_is_refused(safe: Safe, mode: int) -> None:
    safe.set("one", b"1")
    safe.key.chmod(mode)
    error = safe.refused("one")
    assert error.code == "secret_key_lost" and "chmod 600" in error.hint


@pytest.mark.parametrize("contents", [b"", KEY[:-1], KEY + b"\n"])
def test_a_file_that_is_no_key_is_refused(safe: Safe, contents: bytes) -> None:
    safe.set("one", b"1")
    safe.key.write_bytes(contents)
    assert safe.refused("one").code == "secret_key_lost"


def test_a_pipe_in_the_place_of_the_key_is_not_waited_for(safe: Safe) -> None:
    os.mkfifo(safe.key, 0o600)
    with pytest.raises(Error) as caught:
        safe.set("one", b"1")
    assert caught.value.code == "secret_key_lost"


@pytest.mark.parametrize("name", ["", ".x", "-x", "a/b", "a b", "a\n", "x" * 65, "ä", "a\0"])
def test_what_cannot_be_a_name_is_refused_and_not_repeated(safe: Safe, name: str) -> None:
    with pytest.raises(Error) as caught:
        safe.set(name, b"1")
    assert caught.value.code == "bad_name"
    assert len(name) < 3 or name not in caught.value.message
    assert safe.refused(name).code == "secret_not_found"


def test_a_value_has_a_limit_and_so_has_their_number(safe: Safe) -> None:
    safe.set("largest", bytes(SECRET_MAX_BYTES))
    assert safe.open("largest") == bytes(SECRET_MAX_BYTES)
    with pytest.raises(Error) as caught:
        safe.set("larger", bytes(SECRET_MAX_BYTES + 1))
    assert caught.value.code == "payload_too_large"
    safe.sql(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "INSERT INTO secrets SELECT 'n' || i, record, sealed FROM n, secrets",
        COUNT_MAX,
    )
    safe.set("largest", b"another")
    with pytest.raises(Error) as caught:
        safe.set("one-more", b"1")
    assert caught.value.code == "too_many_secrets"


def test_secrets_outlive_a_damaged_store(tmp_path: Path) -> None:
    safe = Safe(tmp_path)
    safe.set("one", b"1")
    safe.store.close()
    path = tmp_path / "banger.db"
    raw = bytearray(path.read_bytes())
    look = sqlite3.connect(path)
    ((root,),) = look.execute("SELECT rootpage FROM sqlite_master WHERE name = 'machines'").fetchall()
    look.close()
    begin = (root - 1) * 4096
    raw[begin : begin + 100] = os.urandom(100)
    path.write_bytes(raw)
    again = Safe(tmp_path)
    assert again.open("one") == b"1"
    assert again.store.damage.all()
    again.store.close()
