"""The SQLite file: opening it, its version, transactions, and its repair.

WAL with synchronous=NORMAL: a killed daemon loses nothing that was committed. A thread syncs the log a moment after a
commit (see `durability`): a power failure loses no more than the commits of that moment, and what is left is
consistent. docs/decisions/0026-durability.md has the numbers.

A file that turns out to be damaged, at the start or later, is replaced by a new one with everything that can be read of
it (see `salvage`). The statement that found the damage is then repeated there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from banger.errors import Error, NoSpace
from banger.host.fs import sync_path
from banger.store.backup import back_up
from banger.store.migrations import REWRITES, STEPS
from banger.store.salvage import FoundDamage, is_damage, salvage

log = logging.getLogger("banger.store")

T = TypeVar("T")
# Their rows are checked when they are read: they may be many or long, and nothing else depends on them.
_UNCHECKED = {"events", "secrets"}
# In the head of the file: the versions of the format for writing and for reading.
_FORMATS = slice(18, 20)


# Freed when the disk is full, and taken again at the next start. A change of a machine takes some 20 KiB.
_SPARE_BYTES = 1024 * 1024


class Database:
    """An open store. Used only from the daemon's event loop; a statement takes some 20-100 µs."""

    def __init__(self, path: Path) -> None:
        """Raises `store_too_new`; `store_damaged` for a store that cannot be repaired; `insufficient_disk`."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self.damage: list[str] = []  # found before a listener was there
        self.on_damage: Callable[[str], None] = self.damage.append
        self.on_mended: Callable[[], None] = _nothing  # rows may have been lost
        self.on_commit: Callable[[], None] = _nothing
        self._is_open = self._transacting = False
        self._to_follow: list[Callable[[], None]] = []
        was_emptied = path.exists() and path.stat().st_size == 0
        try:
            self._open()
        except sqlite3.DatabaseError as exc:
            if not (is_damage(exc) or _does_not_fit(exc)):
                raise _unreadable(path, exc) from exc
            self._mend(exc)
        if was_emptied:
            self.on_damage(f"the store {path.name} was empty: its contents are lost")

    def _open(self) -> None:
        self._is_open = False
        # Before SQLite opens the file: to close a descriptor of it gives up all locks of this process on it.
        head = _head(self.path)
        self._connection = sqlite3.connect(self.path, isolation_level=None)
        self._connection.text_factory = _decode
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")
        self.execute("PRAGMA foreign_keys=ON")
        self.execute("PRAGMA secure_delete=ON")  # commands have passwords in their variables
        self._migrate()
        self._check(head)
        self._take_room()
        sync_path(self.path.parent)  # the names of a new file and of its log
        self._is_open = True

    def _migrate(self) -> None:
        version = self.version()
        if version > len(STEPS):
            raise Error(
                "store_too_new",
                f"the store {self.path} has version {version}, but this banger knows only versions up to {len(STEPS)}",
                "update banger, or use another BANGER_HOME",
            )
        if 0 < version < len(STEPS):
            log.info("the store is copied to %s", back_up(self._connection, self.path, version))
        for number, step in enumerate(STEPS[version:], start=version + 1):
            with self.transaction():
                for statement in step.split(";"):
                    self.execute(statement)
                if number in REWRITES:
                    self._rewrite_machines(REWRITES[number])
                self.execute(f"PRAGMA user_version={number}")

    def _rewrite_machines(self, rewrite: Callable[[bytes], bytes]) -> None:
        for rowid, record in self.rows("SELECT rowid, record FROM machines"):
            self.execute("UPDATE machines SET record = ? WHERE rowid = ?", (rewrite(record), rowid))

    def _check(self, head: bytes) -> None:
        """Check the tables on which everything else depends; this takes a millisecond for hundreds of machines. Raises
        FoundDamage."""
        if head and head[_FORMATS] not in (b"\1\1", b"\2\2"):
            raise FoundDamage("its header forbids writing")
        tables = self.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        for (table,) in tables:
            if table not in _UNCHECKED:
                said = self.rows(f"PRAGMA integrity_check({table})")
                if said != [("ok",)]:
                    raise FoundDamage(f"{table}: {said[0][0] if said else 'no answer'}")

    def _take_room(self) -> None:
        """Reserve some disk space, so that machines can be deleted when the disk is full."""
        with contextlib.suppress(OSError):  # the disk is full already
            fd = os.open(self._spare, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, _SPARE_BYTES)
            finally:
                os.close(fd)

    @property
    def _spare(self) -> Path:
        return self.path.with_name(self.path.name + ".spare")

    def version(self) -> int:
        return int(self.rows("PRAGMA user_version")[0][0])

    def execute(self, statement: str, parameters: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Run a statement that writes. Raises `insufficient_disk`, `store_failed`; then nothing was written."""
        cursor = self._guarded(lambda: self._connection.execute(statement, parameters))
        if not self._connection.in_transaction:
            self.on_commit()
        return cursor

    def rows(self, statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """Run a statement that reads, and return all its rows."""
        return self._guarded(lambda: self._connection.execute(statement, parameters).fetchall())

    def together(self, work: Callable[[], T]) -> T:
        """Everything that `work` writes is committed, or nothing. `work` runs a second time if the store had to be
        repaired, so it leaves changes of memory to `when_written`. Not nested: writes that belong together are one
        `work`."""
        if self._transacting:
            raise RuntimeError("a transaction of the store within another one")
        try:
            with self.transaction():
                return work()
        except NoSpace:
            if not self._find_room():
                raise
        except sqlite3.DatabaseError as exc:
            if not is_damage(exc):
                raise
            self._mend(exc)
        with self.transaction():
            return work()

    def when_written(self, follow: Callable[[], None]) -> None:
        """Change memory after the store: `follow`, which cannot fail, is called after the current transaction is
        committed, and never if it is rolled back. Without a transaction it is called at once."""
        if self._transacting:
            self._to_follow.append(follow)
        else:
            follow()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction: everything that the block writes is committed, or nothing. Not nested; the block never
        awaits."""
        self.execute("BEGIN IMMEDIATE")
        self._transacting = True
        self._to_follow = []
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk has ended it already
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            raise
        finally:
            self._transacting = False
        for follow in self._to_follow:
            follow()

    def forget_deleted(self) -> None:
        """Remove deleted data from the log, too, which keeps old pages. Takes some milliseconds. It has no effect while
        another process reads; then the next call does it, or the end of the daemon."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def close(self) -> None:
        """Close the store. SQLite then copies the log into the file and syncs it: everything committed is on the
        disk."""
        self.on_commit = _nothing
        self._connection.close()

    def _guarded(self, action: Callable[[], T]) -> T:
        try:
            return _say(action)
        except sqlite3.DatabaseError as exc:
            if _is_full(exc):
                if not self._transacting and self._is_open and self._find_room():
                    return self._write_in_room(action)
                raise self._no_room() from exc
            if self._is_open and isinstance(exc, sqlite3.OperationalError):
                raise self._unusable(exc) from exc
            if self._transacting or not self._is_open or not is_damage(exc):
                raise
            self._mend(exc)
        return action()

    def _write_in_room(self, action: Callable[[], T]) -> T:
        try:
            return _say(action)
        except sqlite3.OperationalError as exc:
            raise (self._no_room() if _is_full(exc) else self._unusable(exc)) from exc

    def _find_room(self) -> bool:
        """Free the reserved space and copy the log into the file, so that SQLite writes the log from its beginning
        again. Returns False if that does not help."""
        self._spare.unlink(missing_ok=True)
        try:
            (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        except sqlite3.Error:
            return False
        return not busy

    def _no_room(self) -> Error:
        return Error("insufficient_disk", f"no space left for the store {self.path}", "free space there")

    def _unusable(self, exc: sqlite3.Error) -> Error:
        hint = "see the host's log for disk errors; nothing was changed"
        return Error("store_failed", f"the store {self.path} cannot be used now: {exc}", hint)

    def _mend(self, cause: sqlite3.Error) -> None:
        """Replace the store by one with everything that can be read. Raises `store_damaged`."""
        log.error("the store %s is damaged: %s", self.path, cause)
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        try:
            saved = salvage(self.path, STEPS)
            self._open()
        except (OSError, sqlite3.Error) as exc:
            raise _unreadable(self.path, exc) from exc
        self.on_mended()
        self.on_damage(f"the store was damaged ({cause}): {saved}")


def _is_full(exc: sqlite3.Error) -> bool:
    return getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _say(action: Callable[[], T]) -> T:
    """What `action` returns. In complaints about a damaged schema, SQLite quotes the schema, which may not be text any
    more."""
    try:
        return action()
    except UnicodeDecodeError as exc:
        raise FoundDamage("its schema is not text") from exc


def _nothing() -> None:
    """The default of both callbacks."""


def _head(path: Path) -> bytes:
    """The head of the file; empty if it cannot be read, as before the first start, since SQLite then says more. Not to
    be called while SQLite has the file open."""
    try:
        with path.open("rb") as file:
            return file.read(100)
    except OSError:
        return b""


def _decode(raw: bytes) -> str:
    """Damaged text must not keep everything else from being read."""
    return raw.decode("utf-8", "replace")


def _does_not_fit(exc: sqlite3.Error) -> bool:
    """Whether a statement of banger failed while the store was opened: then its tables are not those of its version."""
    return getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR


def _unreadable(path: Path, exc: Exception) -> Error:
    return Error(
        "store_damaged",
        f"the store {path} cannot be read: {exc}",
        "move the store away and start the daemon again; ps shows the processes of running machines",
    )
