"""Work in the background: a bad moment does not end it for good, and no end of it goes unsaid."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger.errors import Error
from banger.host import background
from banger.host.background import in_background, keep_going, until_done
from banger.host.turns import Turns
from banger.machines.keep.operations import Operations
from banger.machines.life import live
from banger.machines.life.live import LiveMachine
from banger.machines.life.lives import Lives
from banger.machines.life.restarts import Restarts
from banger.machines.watch import disk_room, rounds
from banger.machines.watch.disk_room import DiskRoom
from banger.machines.watch.rounds import Rounds
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.store.store import Store


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 0.0)


class Flaky:
    """Fails as often as was said, then does nothing."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.calls = 0
        self._failures = failures
        self._error = error or OSError(28, "No space left on device")

    async def __call__(self, *_: object) -> None:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error


def test_work_that_fails_is_begun_again_and_each_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    work = Flaky(3)

    async def scenario() -> None:
        await keep_going(work, "the rounds")

    asyncio.run(scenario())
    assert work.calls == 4
    faults = [record for record in caplog.records if record.exc_info]
    assert len(faults) == 3 and "a fault of the daemon: the rounds ended" in faults[0].message


def test_the_pause_doubles_up_to_a_limit_and_begins_anew_after_a_good_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paused: list[float] = []
    clock = [0.0]

    async def sleep(pause_s: float) -> None:
        paused.append(pause_s)

    async def work() -> None:
        if len(paused) == 8:
            clock[0] += 1000
        if len(paused) < 10:
            raise OSError("again")

    monkeypatch.setattr(background, "FIRST_PAUSE_S", 1.0)
    # Of that module alone: a loop in another thread may sleep meanwhile.
    loop = SimpleNamespace(time=lambda: clock[0])
    monkeypatch.setattr(background, "asyncio", SimpleNamespace(sleep=sleep, get_running_loop=lambda: loop))
    asyncio.run(until_done(work, "x"))
    assert paused == [1, 2, 4, 8, 16, 32, 60, 60, 1, 2]


def test_who_is_cancelled_is_not_begun_again() -> None:
    async def scenario() -> None:
        task = keep_going(asyncio.Event().wait, "x")
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(scenario())


def test_the_end_of_a_follow_up_is_logged_when_it_happens(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        await asyncio.wait([in_background(Flaky(1)(), "the end of dev")])

    asyncio.run(scenario())
    assert "a fault of the daemon: the end of dev ended" in caplog.text


def test_one_machine_whose_log_cannot_be_turned_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor from the next round."""
    machines: Any = {name: SimpleNamespace(machine=SimpleNamespace(name=name)) for name in ("sick", "well")}
    lives: Any = SimpleNamespace(live=machines, on_begin=[])
    turned: list[str] = []

    async def turn(live: Any) -> None:
        turned.append(live.machine.name)
        if turned.count("well") == 3:
            machines.clear()
        if live.machine.name == "sick":
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(rounds, "_ROUND_S", 0.0)
    monkeypatch.setattr(rounds, "turn_over_logs", turn)
    monkeypatch.setattr(rounds, "put_clock_right", Flaky(0))

    async def scenario() -> None:
        going = Rounds(lives)
        going.watch(machines["sick"])
        assert going._going is not None
        await going._going
        assert going._going is None

    asyncio.run(scenario())
    assert turned.count("sick") == turned.count("well") == 3
    assert "machine=sick" in caplog.text


def test_a_machine_that_waits_for_room_is_looked_after_again(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = Flaky(2)
    machine = SimpleNamespace(id="m", name="dev")
    stuck: Any = SimpleNamespace(machine=machine)
    lives: Any = SimpleNamespace(on_begin=[])
    monkeypatch.setattr(disk_room.DiskRoom, "_wait", wait)

    async def scenario() -> None:
        room = DiskRoom(lives, 0)
        room._attend(stuck)
        room._attend(stuck)
        await asyncio.wait([*room._waiting.values()])
        await asyncio.sleep(0)
        assert wait.calls == 3 and not room._waiting and not room._full_again

    asyncio.run(scenario())


def test_a_vmm_that_cannot_be_watched_just_now_has_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def close() -> None:
        pass

    wait = Flaky(2, OSError(24, "Too many open files"))
    monkeypatch.setattr(live, "wait_gone", wait)
    vm = SimpleNamespace(process=None, close=close)
    reattached: Any = SimpleNamespace(places=None, driver=None, vm=vm)

    async def scenario() -> None:
        machine = Machine(
            id="m", name="dev", state=MachineState.RUNNING, spec=MachineSpec(image="d"), created=""
        )
        watched = LiveMachine(machine, reattached)
        await watched.watch_task
        assert wait.calls == 3 and watched.gone.is_set()

    asyncio.run(scenario())


def test_whoever_fails_with_a_turn_costs_the_others_none_of_theirs() -> None:
    async def scenario() -> None:
        faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        queue = Turns()
        first, second = queue.join(), queue.join()
        given = asyncio.Event()

        def fail() -> None:
            raise ValueError("a bug")

        first.wait(fail)
        second.wait(given.set)
        await given.wait()
        assert len(faults) == 1

    asyncio.run(scenario())


def test_operations_are_pruned_again_after_a_prune_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        operations = Operations(Store(tmp_path / "s.db").operations)

        async def work(report: object) -> str:
            return ""

        await operations.begin("test", "x", work).result()
        monkeypatch.setattr(operations, "prune", lambda: "".index("x"))
        with pytest.raises(ValueError, match="substring"):
            operations._prune_on_time()
        assert operations._prune_timer is not None
        await operations.close()

    asyncio.run(scenario())


def test_a_restart_that_cannot_be_begun_now_is_begun_later(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(id="m", name="dev", state=MachineState.STOPPED, spec=MachineSpec(image="d"), created="")

    def begin(*_: object, **__: object) -> None:
        raise Error("insufficient_disk", "no room")

    async def scenario() -> None:
        registry: Any = SimpleNamespace(has=lambda _: True)
        nothing: Any = None
        operations: Any = SimpleNamespace(begin=begin)
        lives = Lives(registry, nothing)
        Restarts(lives, nothing, operations)._begin(machine)
        assert lives.due.forget(machine)

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert "does not start again yet: no room" in caplog.text
