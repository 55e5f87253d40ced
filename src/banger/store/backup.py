"""A copy of the store from before a migration. The last two copies are kept."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from banger.errors import Error
from banger.host.fs import publish

_KEEP = 2


def back_up(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """Copy the whole database, with everything committed, to a file beside the store. Returns its path. Raises
    `insufficient_disk`."""
    final = path.with_name(f"{path.name}.v{version}.bak")
    partial = final.with_name(f"{final.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        with closing(sqlite3.connect(partial)) as copy:
            connection.backup(copy)
        partial.chmod(0o600)
        publish(partial, final)
    except (sqlite3.OperationalError, OSError) as exc:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise Error(
            "insufficient_disk",
            f"cannot copy the store before its upgrade: {exc}",
            f"free space in {path.parent}",
        ) from exc
    _remove_old(path)
    return final


def _remove_old(path: Path) -> None:
    found = []
    for other in path.parent.glob(f"{path.name}.v*.bak"):
        number = re.fullmatch(r".*\.v(\d+)\.bak", other.name)
        if number:
            found.append((int(number[1]), other))
    for _, old in sorted(found)[:-_KEEP]:
        old.unlink(missing_ok=True)
