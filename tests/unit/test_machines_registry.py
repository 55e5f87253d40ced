"""The registry: what it holds is what is stored, and every change of a machine is told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from banger.errors import Error
from banger.machines.keep.events import Journal, hear_guest
from banger.machines.keep.registry import Registry
from banger.model.command import Exit
from banger.model.ending import CommandEnded, OutOfMemory, PauseCause, Rebooted
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
    shelf.registry.move(dev, "pause", pause_cause=PauseCause.IDLE)
    shelf.registry.move(dev, "resume")
    shelf.registry.move(dev, "exited", CommandEnded(exit=Exit(code=3)), exit=Exit(code=3))
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
    paused = shelf.events()[3]
    assert paused.data == {"id": dev.id, "was": "running", "reason": "it was not used", "code": "idle"}
    assert stopped.target == "machine/dev"
    assert stopped.data == {
        "id": dev.id,
        "was": "running",
        "reason": "its command ended with 3",
        "code": "command",
        "ending": {"kind": "command", "exit": {"code": 3, "signal": 0, "timed_out": False}},
        "exit": {"code": 3, "signal": 0, "timed_out": False},
    }


def test_a_death_for_want_of_memory_has_a_code(shelf: Shelf) -> None:
    dev = machine()
    shelf.registry.add(dev)
    shelf.registry.move(dev, "start")
    shelf.registry.move(dev, "exited", OutOfMemory(exit=Exit(code=137, signal=9)))
    told = shelf.events()[-1].data
    assert (told["code"], told["reason"]) == ("oom", "its command ended with 137: OOM-killed in the guest")


def test_words_are_made_from_facts_and_never_read_back(shelf: Shelf) -> None:
    dev = machine()
    shelf.registry.add(dev)
    shelf.registry.move(dev, "start", has_started=True)
    shelf.registry.move(dev, "booted")
    for cause, words in (
        (PauseCause.USER, ""),
        (PauseCause.IDLE, "it was not used"),
        (PauseCause.DISK_FULL, "the host's disk is full"),
    ):
        shelf.registry.move(dev, "pause", pause_cause=cause)
        assert (dev.pause_cause, dev.reason) == (cause, words)
        assert (dev.idle, dev.disk_full) == (cause is PauseCause.IDLE, cause is PauseCause.DISK_FULL)
        shelf.registry.move(dev, "resume")
        assert (dev.pause_cause, dev.reason, dev.idle, dev.disk_full) == (None, "", False, False)
    shelf.registry.move(dev, "exited", Rebooted())
    shelf.registry.change(dev, restart_in_s=0.5)
    assert dev.reason == "the guest rebooted; starts again in 0.5 s"
    shelf.store.machines.put(replace(dev, reason="in the words of an earlier version"))
    found = Registry(shelf.store).find("dev")
    assert (found.ending, found.restart_in_s, found.reason) == (Rebooted(), 0.5, dev.reason)
    shelf.registry.move(dev, "start")
    assert (dev.ending, dev.restart_in_s, dev.reason, dev.has_started) == (None, None, "", False)


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


def test_a_guest_says_known_things_and_not_too_often(shelf: Shelf) -> None:
    live: Any = SimpleNamespace(machine=machine())
    hear = hear_guest(shelf.journal.tell, live)
    hear("nonsense", "x")
    for _ in range(500):
        hear("oom", "stress (pid 7)")
    told = shelf.events()
    assert len(told) == 100
    assert told[0].kind == "machine.guest" and told[0].data["code"] == "oom"
    assert told[0].message == "dev: the guest ran out of memory: stress (pid 7)"
