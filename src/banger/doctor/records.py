"""The store, read without changing a byte: no recovery, no migration, no file beside it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

_BUSY_S = 2.0


@contextmanager
def open_store(path: Path) -> Iterator[sqlite3.Connection]:
    """Raises sqlite3.Error; OSError when the file cannot be read."""
    with open(path, "rb"):
        pass  # SQLite only says "unable to open"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro{'' if _has_log(path) else '&immutable=1'}",
        uri=True,
        timeout=_BUSY_S,
    )
    try:
        yield connection
    finally:
        connection.close()


def _has_log(path: Path) -> bool:
    """Whether there is a log. Without one no process writes, and reading must not make one, which SQLite would leave
    behind."""
    with contextlib.suppress(OSError):
        return path.with_name(path.name + "-wal").stat().st_size > 0
    return False


def read_records(path: Path, table: str, column: str = "record") -> list[dict[str, Any]]:
    """The records of a table, decoded from JSON; records that cannot be decoded are left out. Empty without a store.
    Raises sqlite3.Error, OSError."""
    if not path.exists():
        return []
    with open_store(path) as connection:
        rows = connection.execute(f"SELECT {column} FROM {table}").fetchall()
    found = []
    for (record,) in rows:
        with contextlib.suppress(ValueError, TypeError):
            decoded = json.loads(record)
            if isinstance(decoded, dict):
                found.append(decoded)
    return found
