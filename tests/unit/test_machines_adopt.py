"""What a daemon shows of machines that it finds at its start, before it has settled them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger.machines.keep.events import Journal
from banger.machines.keep.registry import Registry
from banger.machines.life import adopt
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.store.store import Store


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    store = Store(tmp_path / "s.db")
    return Registry(store, Journal(store.events).tell)


@pytest.mark.parametrize(
    ("state", "unfinished", "remove", "shown"),
    [
        (MachineState.CREATED, True, False, MachineState.DELETING),
        (MachineState.STOPPED, False, True, MachineState.DELETING),
        (MachineState.FAILED, True, False, MachineState.DELETING),
        (MachineState.DELETING, False, False, MachineState.DELETING),
        (MachineState.RUNNING, True, False, MachineState.RUNNING),  # it ends first
        (MachineState.CREATED, False, True, MachineState.CREATED),  # somebody may yet start it
        (MachineState.STOPPED, False, False, MachineState.STOPPED),
    ],
)
def test_a_machine_that_is_to_go_is_not_shown_as_one_that_somebody_has(
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    state: MachineState,
    unfinished: bool,
    remove: bool,
    shown: MachineState,
) -> None:
    machine = Machine(
        id="0123456789ab",
        name="dev",
        state=state,
        spec=MachineSpec(image="debian", remove=remove),
        created="now",
        unfinished=unfinished,
    )
    registry.add(machine)
    settled: list[MachineState] = []

    async def settle(parts: Any, machine: Machine) -> None:
        settled.append(registry.find(machine.name).state)

    monkeypatch.setattr(adopt, "settle", settle)
    asyncio.run(adopt.adopt_all(SimpleNamespace(registry=registry), {}))  # type: ignore[arg-type]
    assert registry.find("dev").state is shown
    assert settled in ([], [shown])
