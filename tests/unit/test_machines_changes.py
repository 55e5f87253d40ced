"""Machines that exist and get another name or another size: what is refused, and what the record says."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from banger.errors import Error
from banger.machines.ask.updates import _refuse_now
from banger.machines.copies.snapshots import SnapshotMeta, _follow
from banger.machines.keep.events import Journal, tell_renamed
from banger.machines.keep.registry import Registry
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.store.store import Store
from banger.templates.frozen import read_meta, write_meta
from tests.support.frozen_machine import snapshot_record


def machine(name: str, id_: str) -> Machine:
    spec = MachineSpec(image="debian", name=name)
    return Machine(id=id_, name=name, state=MachineState.CREATED, spec=spec, created="now")


def snapshot_meta(id_: str, name: str, machine_id: str) -> SnapshotMeta:
    snapshot = replace(snapshot_record(1), id=id_, machine=name, tag="t" + id_)
    return SnapshotMeta(snapshot=snapshot, sums={}, machine_id=machine_id)


def test_a_renamed_machine_is_found_by_its_new_name_also_by_the_next_daemon(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    journal = Journal(store.events)
    registry = Registry(store, journal.tell)
    dev, other = machine("dev", "0" * 12), machine("other", "1" * 12)
    registry.add(dev)
    registry.add(other)
    registry.give_name(dev, "web", lambda tell: tell_renamed(tell, dev, "web"))
    registry.change(dev, warnings=("w",))
    assert registry.find("web") is dev and registry.find(dev.id) is dev
    with pytest.raises(Error, match="no machine named 'dev'"):
        registry.find("dev")
    for name in ("other", "web"):
        with pytest.raises(Error, match="exists already"):
            registry.give_name(other, name) if name == "web" else registry.give_name(dev, name)
    registry.add(machine("dev", "2" * 12))  # the name is free again
    again = Registry(store)
    assert again.find("web").id == dev.id and again.find("web").spec.name == "web"
    assert again.find("dev").id == "2" * 12
    assert [(event.kind, event.target) for event in store.events.page(0, 9)][2] == (
        "machine.renamed",
        "machine/dev",
    )


def test_snapshots_follow_their_own_machine_alone(tmp_path: Path) -> None:
    for id_, machine_id in (("a", "mine"), ("b", "another"), ("c", "")):
        (tmp_path / id_).mkdir()
        write_meta(tmp_path / id_, snapshot_meta(id_, "dev", machine_id))
    _follow(tmp_path, "mine", "dev", "web")
    assert [read_meta(tmp_path / id_, SnapshotMeta).snapshot.machine for id_ in "abc"] == [
        "web",
        "dev",
        "dev",
    ]


@pytest.mark.parametrize(
    ("state", "changed", "refused"),
    [
        (MachineState.RUNNING, {"memory_mib": 64}, "--memory of a running"),
        (MachineState.PAUSED, {"cpus": 2}, "--cpus of a running"),
        (
            MachineState.RUNNING,
            {"memory_limit_bytes": 0},
            "--memory-limit of a running machine cannot be removed",
        ),
        (MachineState.STARTING, {"iops_limit": 0}, "--iops-limit of a running machine cannot be removed"),
        (MachineState.RUNNING, {"disk_bytes": 1}, "fixed since its first start"),
        (MachineState.STOPPED, {"disk_bytes": 1}, "fixed since its first start"),
        (MachineState.STOPPED, {"memory_mib": 64, "cpus": 2, "iops_limit": 0}, ""),
        (MachineState.RUNNING, {"cpu_limit": 0.5, "restart": "always"}, ""),
        (MachineState.CREATED, {"disk_bytes": 1}, ""),
    ],
)
def test_what_cannot_change_now_is_refused_by_name(
    state: MachineState, changed: dict[str, object], refused: str
) -> None:
    dev = replace(machine("dev", "0" * 12), state=state)
    if not refused:
        _refuse_now(dev, changed)
        return
    with pytest.raises(Error, match=refused) as raised:
        _refuse_now(dev, changed)
    assert raised.value.code == "bad_state" and raised.value.hint
