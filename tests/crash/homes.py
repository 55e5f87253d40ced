"""The home that rounds are played in: a pool and templates of its own; made good again after a finding."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from banger.host.proc import ref_of
from banger.places import run_directory
from tests.crash.kills import kill
from tests.crash.world import World
from tests.support.home import Home, open_home


@contextmanager
def crash_home() -> Iterator[Home]:
    with open_home(own_images=True, own_templates=True, pool=1) as home:
        yield home


def reset(home: Home) -> None:
    """Whatever a finding left there is ended and removed. Within `as_user_of`."""
    run = Path(run_directory())
    world = World(home.directory, run)
    for process in world.processes():
        found = ref_of(process.pid)
        if found is not None:
            kill(found)
    for guard in world.network.guards().values():
        kill(guard)
    for kind in ("machines", "snapshots", "sockets", "templates"):
        shutil.rmtree(home.state / kind, ignore_errors=True)
    for image in (home.directory / "cache/images").iterdir():
        if not image.is_symlink():
            image.unlink()
    with closing(sqlite3.connect(home.state / "banger.db")) as store, store:
        for table in ("machines", "resources", "operations"):
            store.execute(f"DELETE FROM {table}")
        store.execute("DELETE FROM images WHERE name LIKE '%-image-%'")
    with contextlib.suppress(FileNotFoundError):
        (home.state / "daemon.log").rename(home.state / "daemon.log.of-a-finding")


def log_size(home: Home) -> int:
    log = home.state / "daemon.log"
    return log.stat().st_size if log.exists() else 0


def log_since(home: Home, start: int) -> str:
    log = home.state / "daemon.log"
    return log.read_bytes()[start:].decode(errors="replace") if log.exists() else ""
