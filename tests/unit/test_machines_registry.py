"""The registry: what it holds is what is stored, and every change of a machine is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.errors import Error
from banger.machines.keep.events import Journal, hear_guest
from banger.machines.keep.registry import Registry
from banger.model.command import Exit
from banger.model.event import Event
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.store.store import Store


class Shelf:
    """A store with its registry and journal."""

    def __init__(self, path: Path) -> None:
        self.store = Store(path)
        self.journal = Journal(self.store.events)
        self.registry = Registry(self.store, self.journal.tell)

    def events(self) -> list[Event]:
        return self.store.events.page(0, 1000)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "s.db")


def machine(name: str = "dev", id_: str = "0123456789ab") -> Machine:
    return Machine(
        id=id_, name=name, state=MachineState.CREATED, spec=MachineSpec(image="debian"), created="now"
    )


def test_a_life_is_told_from_its_beginning_to_its_end(shelf: Shelf) -> None:
    dev = machine()
    shelf.registry.add(dev)
    shelf.registry.move(dev, "start")
    shelf.registry.move(dev, "booted")
    shelf.registry.move(dev, "pause", "it was not used")
    shelf.registry.move(dev, "resume")
    shelf.registry.move(dev, "exited", "its command ended with 3", exit=Exit(code=3))
    shelf.registry.move(dev, "delete")
    shelf.registry.remove(dev)
    assert [(event.kind, event.message) for event in shelf.events()] == [
        ("machine.created", "dev was created from debian"),
        ("machine.starting", "dev starts"),
        ("machine.running", "dev is running"),
        ("machine.paused", "dev is paused: it was not used"),
        ("machine.running", "dev runs again"),
        ("machine.stopped", "dev stopped: its command ended with 3"),
        ("machine.deleting", "dev is being deleted"),
        ("machine.deleted", "dev was deleted"),
    ]
    stopped = shelf.events()[5]
    assert stopped.target == "machine/dev"
    assert stopped.data == {
        "id": dev.id,
        "was": "running",
        "reason": "its command ended with 3",
        "exit": {"code": 3, "signal": 0, "timed_out": False},
    }


def test_a_death_for_want_of_memory_has_a_code(shelf: Shelf) -> None:
    dev = machine()
    shelf.registry.add(dev)
    shelf.registry.move(dev, "start")
    shelf.registry.move(dev, "exited", "its command ended with 137: OOM-killed in the guest")
    assert shelf.events()[-1].data["code"] == "oom"


def test_a_name_that_is_taken_is_not_told(shelf: Shelf) -> None:
    shelf.registry.add(machine())
    with pytest.raises(Error):
        shelf.registry.add(machine(id_="ba9876543210"))
    assert [event.kind for event in shelf.events()] == ["machine.created"]
    assert [known.id for known in shelf.registry.all()] == ["0123456789ab"]


def test_a_move_that_the_state_forbids_is_not_told(shelf: Shelf) -> None:
    dev = machine()
    shelf.registry.add(dev)
    with pytest.raises(Error):
        shelf.registry.move(dev, "pause")
    assert len(shelf.events()) == 1 and dev.state is MachineState.CREATED


def test_a_machine_that_is_gone_is_not_saved_again(shelf: Shelf) -> None:
    dev = machine()
    shelf.registry.add(dev)
    shelf.registry.remove(dev)
    shelf.registry.change(dev, place="elsewhere")
    assert shelf.store.machines.all() == []


class Live:
    """As much of a LiveMachine as hearing its guest takes."""

    machine = machine()


def test_a_guest_says_known_things_and_not_too_often(shelf: Shelf) -> None:
    hear = hear_guest(shelf.journal.tell, Live())  # type: ignore[arg-type]
    hear("nonsense", "x")
    for _ in range(500):
        hear("oom", "stress (pid 7)")
    told = shelf.events()
    assert len(told) == 100
    assert told[0].kind == "machine.guest" and told[0].data["code"] == "oom"
    assert told[0].message == "dev: the guest ran out of memory: stress (pid 7)"
