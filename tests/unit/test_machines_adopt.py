"""What a daemon shows of machines that it finds at its start, before it has settled them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger.errors import Error
from banger.machines.keep.events import Journal
from banger.machines.keep.holdings import Holdings
from banger.machines.keep.registry import Registry
from banger.machines.life import adopt
from banger.machines.life.lives import Lives
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.store.store import Store


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    store = Store(tmp_path / "s.db")
    return Registry(store, Journal(store.events).tell)


def lives_of(registry: Registry) -> Lives:
    nothing: Any = None
    return Lives(registry, Holdings(nothing, nothing, nothing))


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

    async def settle(lives: Any, machine: Machine) -> None:
        settled.append(registry.find(machine.name).state)

    monkeypatch.setattr(adopt, "settle", settle)
    asyncio.run(adopt.adopt_all(lives_of(registry), {}))
    assert registry.find("dev").state is shown
    assert settled in ([], [shown])


def alive(id_: str, name: str) -> Machine:
    spec = MachineSpec(image="debian")
    return Machine(
        id=id_, name=name, state=MachineState.RUNNING, spec=spec, created="now", timings_ms={"start": 1}
    )


@pytest.mark.parametrize("where", ["reattach", "_record_end", "_why_it_ended"])
@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Error("vmm_failed", "it is odd"), "machine=sick it is odd"),
        (RuntimeError("a bug"), "machine=sick is not taken over: a fault of the daemon"),
        (OSError(5, "Input/output error"), "machine=sick is not taken over: a fault of the daemon"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_a_machine_that_cannot_be_settled_keeps_no_other_from_it(
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: str,
    failure: Exception,
    said: str,
) -> None:
    for id_, name in (("0" * 12, "first"), ("1" * 12, "sick"), ("2" * 12, "last")):
        registry.add(alive(id_, name))
    done: list[str] = []
    is_async = where == "_record_end"

    def step(lives: Any, machine: Machine, *rest: object) -> str:
        if machine.name == "sick":
            raise failure
        done.append(machine.name)
        return "it ended"

    async def slow_step(*arguments: Any) -> str:
        return step(*arguments)

    async def record(lives: Any, machine: Machine, reason: str) -> None:
        """Instead of what needs the host."""

    async def owe(lives: Any, machine: Machine, settle: Any) -> None:
        await settle()

    monkeypatch.setattr(adopt, "_why_it_ended", lambda *_: "it ended")
    monkeypatch.setattr(adopt, "_record_end", record)
    monkeypatch.setattr(Lives, "settle_or_owe", owe)
    monkeypatch.setattr(adopt, where, slow_step if is_async else step)
    asyncio.run(adopt.adopt_all(lives_of(registry), {}))
    assert done == ["first", "last"]
    assert said in caplog.text


def test_vcpus_are_set_right_by_a_record_that_nobody_changes_meanwhile() -> None:
    """A user who resumes a machine holds the lock from the vCPUs to the record: it is not paused again between."""
    did: list[str] = []

    async def work() -> None:
        live: Any = SimpleNamespace(
            machine=SimpleNamespace(state=MachineState.PAUSED), pausing=asyncio.Lock()
        )
        runs = "paused"

        async def run_state() -> str:
            return runs

        async def note(what: str) -> None:
            did.append(what)

        live.vm = SimpleNamespace(
            run_state=run_state, pause=lambda: note("pause"), resume=lambda: note("resume")
        )
        async with live.pausing:
            setting = asyncio.create_task(adopt._set_vcpus_right(live))
            runs = "running"
            for _ in range(10):
                await asyncio.sleep(0)
            live.machine.state = MachineState.RUNNING
        await setting

    asyncio.run(work())
    assert did == []
