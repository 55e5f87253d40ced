"""A fault at each step that a driver takes, in turn: whatever a machine was about to do, it ends as something that can
be gone on with, and nothing of what failed is left: no process, no socket, no file, no record."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from banger.errors import Error
from banger.host.paths import Paths
from banger.host.proc import is_alive, kill_and_wait
from banger.machines.copies import forks, snapshots
from banger.machines.keep import reconcile
from banger.machines.keep.states import LIVE
from banger.machines.keep.unreleased import release_unreleased
from banger.machines.life import lifecycle
from banger.model.machine import Machine, MachineState
from banger.resources import kinds
from banger.resources.kind import Found
from tests.support.engine import Engine, home_of, open_engine
from tests.support.fake_driver import FakeDriver, Kind
from tests.support.reports import silent

pytestmark = pytest.mark.integration

AT_REST = (MachineState.CREATED, MachineState.STOPPED, MachineState.FAILED)
Act = Callable[[Engine], Awaitable[object]]


class Scenario:
    """`ready` before any fault, then `act`, amid which it happens. `templates`: machines start as clones."""

    def __init__(self, ready: Act, act: Act, *, templates: bool = False, restarted: bool = False) -> None:
        self.ready = ready
        self.act = act
        self.templates = templates
        self.restarted = restarted


async def nothing(engine: Engine) -> None:
    """All begins with the act."""


async def run_one(engine: Engine) -> None:
    await engine.run("dev")


async def run_deaf(engine: Engine) -> None:
    await engine.run("dev", "deaf")


async def run_and_keep(engine: Engine) -> None:
    await snapshots.snapshot(
        engine.snapshots, engine.lives, engine.makings, await engine.run("dev"), "kept", silent
    )


async def run_and_stop(engine: Engine) -> None:
    await lifecycle.stop(engine.lives, await engine.run("dev"), 1)


async def start_again(engine: Engine) -> None:
    await lifecycle.start(engine.lives, engine.makings, dev(engine), silent)


async def stop(engine: Engine) -> None:
    await lifecycle.stop(engine.lives, dev(engine), 1)


async def fork(engine: Engine) -> None:
    await forks.fork(engine.lives, engine.makings, dev(engine), 2, "child", silent)


async def snapshot(engine: Engine) -> None:
    await snapshots.snapshot(engine.snapshots, engine.lives, engine.makings, dev(engine), "now", silent)


async def restore(engine: Engine) -> None:
    await snapshots.restore(engine.snapshots, engine.lives, engine.makings, "dev", "kept", silent)


async def take_over(engine: Engine) -> None:
    await engine.take_over()


def dev(engine: Engine) -> Machine:
    return engine.registry.find("dev")


SCENARIOS = {
    "a boot": Scenario(nothing, run_one),
    "a first clone": Scenario(nothing, run_one, templates=True),
    "a start of a machine that has a disk": Scenario(run_and_stop, start_again),
    "a stop of a guest that does not go down": Scenario(run_deaf, stop),
    "a fork": Scenario(run_one, fork),
    "a snapshot": Scenario(run_one, snapshot),
    "a restore": Scenario(run_and_keep, restore),
    "an adoption": Scenario(run_one, take_over, restarted=True),
}


async def play(scenario: Scenario, directory: Path, at: int, kind: Kind) -> list[str]:
    """The steps of the act, with a fault at one of them; -1: at none."""
    driver, paths = FakeDriver(), home_of(directory)
    try:
        async with open_engine(paths, driver, templates=scenario.templates) as engine:
            await scenario.ready(engine)
            if not scenario.restarted:
                return await act_and_look(scenario, engine, driver, at, kind)
        async with open_engine(paths, driver, templates=scenario.templates) as engine:
            return await act_and_look(scenario, engine, driver, at, kind)
    finally:
        for process in driver.faults.started:  # a test that fails leaves none either
            await kill_and_wait(process)


async def act_and_look(
    scenario: Scenario, engine: Engine, driver: FakeDriver, at: int, kind: Kind
) -> list[str]:
    driver.faults.plant(at, kind)
    failed = await asyncio.gather(asyncio.ensure_future(scenario.act(engine)), return_exceptions=True)
    steps = [*driver.faults.steps]
    driver.faults.clear()
    assert all(isinstance(each, None | Error | asyncio.CancelledError) for each in failed), failed
    await settled(engine)
    await nothing_left(engine)
    await settled(engine)  # a machine whose command has ended may have begun to end meanwhile
    look(engine)
    await engine.remove_machines()
    await nothing_left(engine)
    assert engine.held() == [] and engine.registry.all() == []
    assert not any(engine.paths.machines.glob("*")), "files of machines that are gone"
    return steps


async def nothing_left(engine: Engine) -> None:
    """Without a record, or of nobody. A control group can be removed a moment after the last process in it is gone, no
    sooner: what could not be released is tried again, as a daemon does."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            while await engine.leftovers() or engine.ownerless():
                await release_unreleased(engine.lives)
                await asyncio.sleep(0.05)
    assert await engine.leftovers() == [] and engine.ownerless() == []


async def settled(engine: Engine) -> None:
    """A VMM that was killed is noticed a moment later; then its machine is at rest."""
    async with asyncio.timeout(30):
        while any(live.gone.is_set() or not is_alive(live.process) for live in engine.lives.live.values()):
            await asyncio.sleep(0.01)


def look(engine: Engine) -> None:
    """Each machine runs and is looked after, or is at rest and holds nothing that runs."""
    held = {each.machine: set[str]() for each in engine.store.resources.all()}
    for each in engine.store.resources.all():
        held[each.machine].add(each.kind)
    known = {machine.id: machine for machine in engine.registry.all()}
    for owner, names in held.items():
        assert owner in known, f"{names} of {owner}, which is no machine"
    for machine in known.values():
        if machine.state in LIVE:
            assert machine.id in engine.lives.live, (
                f"{machine.name} is {machine.state}, and nobody looks after it"
            )
            assert kinds.VMM.name in held[machine.id]
        else:
            assert machine.state in AT_REST, machine.state
            assert not held.get(machine.id, set()) & kinds.RUNTIME, held[machine.id]
        assert machine.id not in engine.lives.starting


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.value)
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_wherever_it_fails_nothing_is_left(scenario: Scenario, kind: Kind, tmp_path: Path) -> None:
    steps = asyncio.run(play(scenario, tmp_path / "whole", -1, kind))
    assert steps, "the driver is asked for something"
    for at, step in enumerate(steps):
        try:
            asyncio.run(play(scenario, tmp_path / str(at), at, kind))
        except BaseException as exc:
            exc.add_note(f"{kind.value} {step} (step {at})")
            raise


def test_what_is_released_during_the_look_at_the_host_is_no_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, released = threading.Event(), threading.Event()

    def look_slowly(paths: Paths) -> list[Found]:
        seen = kinds.look(paths)
        looked.set()
        assert released.wait(60)
        return seen

    async def look_and_delete() -> list[str]:
        async with open_engine(home_of(tmp_path), FakeDriver()) as engine:
            await engine.run("dev")
            looking = asyncio.create_task(engine.leftovers())
            assert await asyncio.to_thread(looked.wait, 60)
            try:
                await engine.remove_machines()
            finally:
                released.set()
            return await looking

    monkeypatch.setattr(reconcile, "look", look_slowly)
    assert asyncio.run(look_and_delete()) == []
