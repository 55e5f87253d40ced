"""The schema, one step per version. Released steps never change; new ones are appended."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from banger.store.sentences import with_ending, with_origin

STEPS: tuple[str, ...] = (
    """
    CREATE TABLE machines (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        record BLOB NOT NULL
    ) STRICT;
    CREATE TABLE images (name TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT;
    CREATE TABLE kernels (name TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT;
    CREATE TABLE operations (
        id TEXT PRIMARY KEY,
        begun TEXT NOT NULL,
        ended TEXT NOT NULL,
        record BLOB NOT NULL
    ) STRICT;
    CREATE TABLE resources (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        machine TEXT NOT NULL,
        kind TEXT NOT NULL,
        identity BLOB NOT NULL
    ) STRICT;
    CREATE INDEX resources_of_machine ON resources (machine, id);
    """,
    """
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        time TEXT NOT NULL,
        kind TEXT NOT NULL,
        target TEXT NOT NULL,
        message TEXT NOT NULL,
        data BLOB NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE idempotency_keys (
        key TEXT PRIMARY KEY,
        made TEXT NOT NULL,
        machine TEXT NOT NULL,
        request TEXT NOT NULL
    ) STRICT;
    CREATE INDEX idempotency_keys_by_age ON idempotency_keys (made)
    """,
    """
    CREATE TABLE damage (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        found TEXT NOT NULL,
        what TEXT NOT NULL,
        record BLOB NOT NULL
    ) STRICT
    """,
    "-- the tables stay as they are",
    "CREATE TABLE networks (name TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT",
    "-- the tables stay as they are",
    "-- the tables stay as they are",
    "-- the tables stay as they are",
    "CREATE TABLE tokens (name TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, record BLOB NOT NULL) STRICT",
    "-- the tables stay as they are",
    "CREATE TABLE volumes (name TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT",
    "CREATE TABLE secrets (name TEXT PRIMARY KEY, record BLOB NOT NULL, sealed BLOB NOT NULL) STRICT",
)
# How each record of a machine changes, by the version that introduced the change.
REWRITES: Mapping[int, Callable[[bytes], bytes]] = {5: with_ending, 7: with_origin}
