"""Whoever else looks into the store takes nothing from the daemon that has it open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from banger.store.database import Database

pytestmark = pytest.mark.integration

COUNT = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM resources").fetchone()[0])
connection.close()
"""


def count_elsewhere(path: Path) -> int:
    return int(subprocess.check_output([sys.executable, "-c", COUNT, str(path)]))


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "old"])
def test_a_reader_that_comes_and_goes_loses_nothing_for_the_next(tmp_path: Path, is_new: bool) -> None:
    """SQLite's last user of a file removes its log: who that is, locks tell, and any close gives up locks."""
    path = tmp_path / "banger.db"
    if not is_new:
        Database(path).close()
    database = Database(path)
    for number in range(1, 4):
        database.execute(
            "INSERT INTO resources (machine, kind, identity) VALUES ('somebody', 'files', x'7b7d')"
        )
        assert count_elsewhere(path) == number
    assert path.with_name("banger.db-wal").exists()
    database.close()
    assert count_elsewhere(path) == 3
