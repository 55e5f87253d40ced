"""A store whose disk is full: it says so, loses nothing, and still takes what makes room."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from banger.errors import Error
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.store.store import Store
from tests.support.small_disk import mounted_small

pytestmark = pytest.mark.integration


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    with mounted_small(tmp_path / "small", "4m"):
        yield tmp_path / "small"
        gc.collect()  # the store of a test that failed is open still


def fill(place: Path) -> None:
    with open(place / "filler", "ab", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(b"x" * 4096)


def machine(number: int) -> Machine:
    spec = MachineSpec(image="x" * 500)
    return Machine(id=f"m{number}", name=f"m{number}", state=MachineState.CREATED, spec=spec, created="now")


def test_what_changes_or_goes_is_written_when_the_disk_is_full(small: Path) -> None:
    store = Store(small / "s.db")
    for number in range(50):
        store.machines.add(machine(number))
    fill(small)
    for round_ in range(100):
        for number in range(10):
            changed = replace(machine(number), reason=f"round {round_}")
            store.database.together(partial(store.machines.put, changed))
    for number in range(10, 50):
        store.machines.delete(f"m{number}")
    store.close()
    (small / "filler").unlink()
    again = Store(small / "s.db")
    assert [found.reason for found in again.machines.all()] == ["round 99"] * 10
    again.close()


def test_what_does_not_fit_is_refused_whole(small: Path) -> None:
    store = Store(small / "s.db")
    store.machines.add(machine(1))
    fill(small)

    def work() -> None:
        for number in range(2, 2000):
            store.machines.add(machine(number))

    with pytest.raises(Error) as caught:
        store.database.together(work)
    assert caught.value.code == "insufficient_disk"
    assert [found.id for found in store.machines.all()] == ["m1"]
    (small / "filler").unlink()
    store.database.together(lambda: store.machines.add(machine(2)))
    assert len(store.machines.all()) == 2
    store.close()


def test_a_store_is_opened_when_the_disk_is_full(small: Path) -> None:
    """As an earlier daemon left it that was killed."""
    store = Store(small / "s.db")
    store.machines.add(machine(1))
    fill(small)
    second = Store(small / "s.db")
    assert len(second.machines.all()) == 1
    second.close()
    store.close()
