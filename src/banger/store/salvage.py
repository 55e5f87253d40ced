"""A damaged store: the file is kept unchanged under another name, and every row that can still be read is copied to a
new store.

SQLite reads up to a damaged page and no further. So a table is read from both ends, and the rows between are halved,
again and again, until only unreachable rows are left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from banger.host.fs import publish, sync_path

# More rows than a page of 4 KiB has: beyond the last row that is seen, there may be this many more.
_BEYOND = 1000
# The most statements for one table, at some 10 µs each.
_PATIENCE = 200_000
_NAMES_SHOWN = 20
_TABLES_OF_PEOPLE = dict.fromkeys(("machines", "images", "kernels", "networks", "volumes", "secrets"), "name")

# SQLite's messages about a damaged schema quote it, and it may not be text.
_UNREACHABLE = (sqlite3.Error, UnicodeDecodeError)

Row = tuple[Any, ...]


class Salvage(NamedTuple):
    """The result: the name of the damaged file, how many rows of each table were copied, and what was lost, in
    words."""

    kept_as: Path
    carried: dict[str, int]
    lost: list[str]

    def __str__(self) -> str:
        carried = ", ".join(f"{count} {table}" for table, count in self.carried.items() if count)
        lost = "; ".join(self.lost) or "nothing known"
        return f"the damaged file is kept as {self.kept_as.name}; carried over: {carried or 'nothing'}; lost: {lost}"


class FoundDamage(sqlite3.DatabaseError):
    """SQLite's own check found something."""


def is_damage(exc: sqlite3.Error) -> bool:
    """Whether the contents of the file are the problem: not the disk, the directory or a lock of another process."""
    if isinstance(exc, FoundDamage):
        return True
    code = getattr(exc, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def salvage(path: Path, steps: tuple[str, ...]) -> Salvage:
    """Replace the store at `path`. No process has it open. A store is at `path` whenever this process may be killed
    meanwhile. Raises OSError, sqlite3.Error."""
    fresh = path.with_name(f"{path.name}.salvaged")
    fresh.unlink(missing_ok=True)
    try:
        with _open_damaged(path) as source:
            carried, lost = _fill(fresh, source, steps)
        fresh.chmod(0o600)
        sync_path(fresh)  # before the log of the damaged store is removed
        kept_as = _keep_aside(path)
        publish(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    return Salvage(kept_as, carried, lost)


def _fill(
    fresh: Path, source: sqlite3.Connection, steps: tuple[str, ...]
) -> tuple[dict[str, int], list[str]]:
    """Copy the rows to `fresh`, without a log: no process uses that file before it is complete."""
    with closing(sqlite3.connect(fresh, isolation_level=None)) as target:
        target.execute("PRAGMA journal_mode=MEMORY")
        target.execute("PRAGMA synchronous=OFF")
        _create(target, steps, _version(source, len(steps)))
        return _carry_over(source, target)


@contextlib.contextmanager
def _open_damaged(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the damaged store for reading only, together with its log."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source:
        source.text_factory = lambda raw: raw.decode("utf-8", "replace")
        yield source


def _version(source: sqlite3.Connection, newest: int) -> int:
    """The version of the schema; the newest if the version cannot be read."""
    with contextlib.suppress(*_UNREACHABLE):
        version = int(source.execute("PRAGMA user_version").fetchone()[0])
        if 0 < version <= newest:
            return version
    return newest


def _create(target: sqlite3.Connection, steps: tuple[str, ...], version: int) -> None:
    target.execute("BEGIN")
    for step in steps[:version]:
        for statement in step.split(";"):
            target.execute(statement)
    target.execute(f"PRAGMA user_version={version}")
    target.execute("COMMIT")


def _carry_over(source: sqlite3.Connection, target: sqlite3.Connection) -> tuple[dict[str, int], list[str]]:
    carried: dict[str, int] = {}
    lost: list[str] = []
    if _one_number(source, "SELECT count(*) FROM sqlite_master") is None:
        return carried, ["all of it: not even the list of its tables can be read"]
    tables = target.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    for (table,) in tables.fetchall():
        target.execute("BEGIN")
        rowids = set(_copy_table(source, target, table))
        _copy_sequence(source, target, table)
        target.execute("COMMIT")
        carried[table] = len(rowids)
        lost += _describe_lost(source, table, rowids)
    return carried, lost


def _copy_table(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> Iterator[int]:
    """The rowids that were copied to the new table."""
    columns = [row[1] for row in target.execute(f"PRAGMA table_info({table})")]
    names = ", ".join(columns)
    insert = f"INSERT INTO {table} (rowid, {names}) VALUES ({', '.join('?' * (len(columns) + 1))})"
    for row in _read_rows(source, table, names):
        with contextlib.suppress(sqlite3.Error):  # a row that breaks the rules of the table is damaged, too
            target.execute(insert, row)
            yield row[0]


def _read_rows(source: sqlite3.Connection, table: str, names: str) -> Iterator[Row]:
    """All rows that can be read, as (rowid, columns)."""
    stack = [_bounds(source, table)]
    for _ in range(_PATIENCE):
        if not stack:
            return
        low, high = stack.pop()
        rows, is_whole = _scan(source, table, names, low, high, "ASC")
        yield from rows
        if is_whole or low >= high:
            continue
        low = rows[-1][0] + 1 if rows else low
        rows, is_whole = _scan(source, table, names, low, high, "DESC")
        yield from rows
        high = rows[-1][0] - 1 if rows else high
        if not is_whole and low <= high:
            middle = (low + high) // 2
            stack += [(low, middle), (middle + 1, high)]


def _scan(
    source: sqlite3.Connection, table: str, names: str, low: int, high: int, order: str
) -> tuple[list[Row], bool]:
    """The rows before the first unreachable one, and whether there was no unreachable row."""
    rows: list[Row] = []
    statement = f"SELECT rowid, {names} FROM {table} WHERE rowid BETWEEN ? AND ? ORDER BY rowid {order}"
    try:
        for row in source.execute(statement, (low, high)):
            rows.append(row)
    except _UNREACHABLE:
        return rows, False
    return rows, True


def _bounds(source: sqlite3.Connection, table: str) -> tuple[int, int]:
    """The lowest and the highest rowid that a row may have."""
    ends = []
    for function, order, beyond in (("min", "ASC", -_BEYOND), ("max", "DESC", _BEYOND)):
        known = _one_number(source, f"SELECT {function}(rowid) FROM {table}")
        if known is None:  # that end is damaged: estimate from the rows that can be read from the other end
            other = "DESC" if order == "ASC" else "ASC"
            rows, _ = _scan(source, table, "rowid", 0, 2**62, other)
            known = max(0, rows[-1][0] + beyond) if rows else _BEYOND if function == "max" else 0
        ends.append(known)
    newest = _one_number(source, f"SELECT seq FROM sqlite_sequence WHERE name = '{table}'")
    return ends[0], max(ends[1], newest or 0)


def _one_number(source: sqlite3.Connection, statement: str) -> int | None:
    try:
        row = source.execute(statement).fetchone()
    except _UNREACHABLE:
        return None
    if row is None or row[0] is None:
        return 0
    return int(row[0]) if isinstance(row[0], int) else None


def _copy_sequence(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
    """Numbers that were used are not used again."""
    newest = _one_number(source, f"SELECT seq FROM sqlite_sequence WHERE name = '{table}'")
    if newest:
        target.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (newest, table))


def _describe_lost(source: sqlite3.Connection, table: str, rowids: set[int]) -> list[str]:
    """The names that the indexes have and the copied rows do not: indexes are pages of their own."""
    column = _TABLES_OF_PEOPLE.get(table)
    if column is None:
        return []
    try:
        named = source.execute(f"SELECT rowid, {column} FROM {table} ORDER BY {column}").fetchall()
    except _UNREACHABLE:
        return [f"perhaps some {table}, whose index is damaged too"]
    gone = [str(name) for rowid, name in named if rowid not in rowids]
    if not gone:
        return []
    more = f" and {len(gone) - _NAMES_SHOWN} more" if len(gone) > _NAMES_SHOWN else ""
    return [f"{table} {', '.join(gone[:_NAMES_SHOWN])}{more}"]


def _keep_aside(path: Path) -> Path:
    """Copy the damaged file and its log to names of their own. Removes the log: SQLite would apply it to the new
    store."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in range(1000):
        kept_as = path.with_name(f"{path.name}.damaged-{stamp}" + (f"-{number}" if number else ""))
        if not kept_as.exists():
            break
    _copy(path, kept_as)
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        _copy(log, kept_as.with_name(f"{kept_as.name}-wal"))
    sync_path(path.parent)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return kept_as


def _copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        sync_path(target)
