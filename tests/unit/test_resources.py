"""Kinds of resources: each is named once, and found, described and released by its own file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from banger.resources import teardown
from banger.resources.kinds import FILES, KINDS, RUNTIME, SOCKETS, VMM, look, unknown
from banger.store.resources import Resource
from banger.store.store import Store
from tests.support.paths import paths_below


def test_every_kind_has_its_own_name_and_the_lasting_ones_are_files_alone() -> None:
    assert all(KINDS[name].name == name for name in KINDS)
    assert set(KINDS) - RUNTIME == {FILES.name}


def test_the_store_knows_nothing_of_kinds() -> None:
    import banger.store

    room = Path(str(banger.store.__file__)).parent
    assert [p.name for p in room.glob("*.py") if "banger.host.proc" in p.read_text()] == []


def test_directories_without_a_record_are_found_and_removed(tmp_path: Path) -> None:
    paths = paths_below(tmp_path)
    lost, known = paths.machines / "lost", paths.sockets / "known"
    for directory in (lost, known):
        directory.mkdir(parents=True)
    left = unknown(look(paths), [{"path": str(known)}])
    assert [(found.kind, found.target) for found in left] == [(FILES, lost)]
    assert asyncio.run(left[0].kind.remove(left[0].target))
    assert not lost.exists() and known.exists()


def test_a_record_of_a_kind_that_nothing_knows_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    noted = store.resources.note("m", "bridge", {"name": "br0"})
    (error,) = asyncio.run(teardown.release(store.resources, "m"))
    assert error.code == "internal" and [r.id for r in store.resources.all()] == [noted]
    store.close()


def test_each_is_described_for_people() -> None:
    described = [
        teardown.describe(Resource(1, "m", VMM.name, {"pid": 5, "start": 7})),
        teardown.describe(Resource(1, "m", VMM.name, {"marker": "m"})),
        teardown.describe(Resource(1, "m", SOCKETS.name, {"path": "/run/x"})),
    ]
    assert described == ["process 5", "process of m", "directory /run/x"]
