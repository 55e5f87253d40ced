"""The store: records come back, names are unique, versions are kept in order, damage is named."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from banger.errors import Error
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.store.migrations import STEPS
from banger.store.store import Store


def machine(id_: str, name: str) -> Machine:
    return Machine(id=id_, name=name, state=MachineState.CREATED, spec=MachineSpec(image="x"), created="now")


def test_a_machine_comes_back_from_a_reopened_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.machines.add(machine("a", "dev"))
    store.close()
    assert Store(tmp_path / "s.db").machines.all() == [machine("a", "dev")]


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.machines.add(machine("a", "dev"))
    with pytest.raises(Error) as caught:
        store.machines.add(machine("b", "dev"))
    assert caught.value.code == "name_taken"


def test_resources_are_torn_down_newest_first(tmp_path: Path) -> None:
    resources = Store(tmp_path / "s.db").resources
    first = resources.note("a", "files", {"path": "/x"})
    second = resources.note("a", "vmm", {"marker": "a"})
    resources.update(second, {"marker": "a", "pid": 5, "start": 6})
    assert [r.id for r in resources.of_machine("a")] == [second, first]
    assert resources.of_machine("a")[0].identity == {"marker": "a", "pid": 5, "start": 6}
    resources.clear(second)
    assert [r.id for r in resources.of_machine("a")] == [first]


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    Store(tmp_path / "s.db").close()
    with sqlite3.connect(tmp_path / "s.db") as raw:
        raw.execute(f"PRAGMA user_version={len(STEPS) + 1}")
    with pytest.raises(Error) as caught:
        Store(tmp_path / "s.db")
    assert caught.value.code == "store_too_new"


def test_a_file_that_is_no_store_is_named_and_kept(tmp_path: Path) -> None:
    content = b"this is no database, but it is long enough to be one" * 50
    (tmp_path / "s.db").write_bytes(content)
    assert "file is not a database" in Store(tmp_path / "s.db").damage.all()[0]
    assert [path.read_bytes() for path in tmp_path.glob("s.db.damaged-*")] == [content]


def test_a_store_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "s.db").mkdir()
    with pytest.raises(Error) as caught:
        Store(tmp_path / "s.db")
    assert caught.value.code == "store_damaged"


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    with pytest.raises(RuntimeError), store.database.transaction():
        store.machines.add(machine("a", "dev"))
        raise RuntimeError
    assert store.machines.all() == []
