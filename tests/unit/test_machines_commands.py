"""What is wanted of commands in a machine that stands still."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from banger.errors import Error
from banger.machines.ask import commands
from banger.machines.ask.execs import RunningExec
from banger.machines.life import live
from banger.machines.life.live import LiveMachine
from banger.model.command import Exec, Exit
from banger.model.ending import PauseCause
from banger.model.machine import Machine, MachineSpec, MachineState


class Process:
    """Notes what reaches the guest."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.silent = False
        self.exit: Exit | None = None
        self.ends = asyncio.Event()

    async def outputs(self) -> AsyncIterator[Any]:
        await self.ends.wait()
        self.exit = Exit(code=0)
        return
        yield

    async def signal(self, number: int, timeout_s: float = 10, *, session: bool = False) -> None:
        if self.silent:
            raise Error("agent_silent", "it does not answer")
        self.told.append((number, session))

    async def resize(self, rows: int, cols: int) -> None:
        self.told.append((rows, cols))

    async def forget(self) -> None: ...


class Scene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine = Machine(
            id="1", name="dev", state=MachineState.RUNNING, spec=MachineSpec(image="x"), created=""
        )
        self.process = Process()
        self.running = RunningExec(cast("Any", self.process), Exec(id=5))
        self.live = cast(
            "LiveMachine", SimpleNamespace(connection=object(), execs={5: self.running}, machine=self.machine)
        )

        async def refreshed(*_: object, **__: object) -> None: ...

        monkeypatch.setattr(live, "refresh", refreshed)
        monkeypatch.setattr(commands, "steady", self.steady)

    @contextlib.asynccontextmanager
    async def steady(self, lives: Any, machine: Machine) -> AsyncIterator[LiveMachine]:
        if machine.pause_cause not in (None, PauseCause.IDLE):
            raise Error("bad_state", "it is paused")
        yield self.live

    def become(self, state: MachineState, cause: PauseCause | None = None) -> None:
        """As the registry does it."""
        msgspec.structs.force_setattr(self.machine, "state", state)
        msgspec.structs.force_setattr(self.machine, "pause_cause", cause)

    def pause(self, *, idle: bool = False) -> None:
        self.become(MachineState.PAUSED, PauseCause.IDLE if idle else PauseCause.USER)

    async def resume(self) -> None:
        self.become(MachineState.RUNNING)
        await LiveMachine.catch_up(self.live)

    async def hang_up(self) -> None:
        await commands.hang_up(cast("Any", None), self.machine, self.running, signal.SIGHUP)

    async def resize(self, rows: int, cols: int) -> None:
        await commands.resize_command(cast("Any", None), self.machine, self.running, rows, cols)

    async def close(self) -> None:
        self.process.ends.set()
        await self.running.done


@pytest.mark.parametrize("idle", [False, True])
def test_a_machine_that_runs_or_is_idle_hears_of_it_at_once(
    monkeypatch: pytest.MonkeyPatch, idle: bool
) -> None:
    async def play() -> None:
        scene = Scene(monkeypatch)
        if idle:
            scene.pause(idle=True)
        await scene.hang_up()
        await scene.resize(1, 2)
        assert scene.process.told == [(signal.SIGHUP, True), (1, 2)]
        await scene.resume()
        assert len(scene.process.told) == 2
        await scene.close()

    asyncio.run(play())


def test_a_paused_machine_hears_of_a_hang_up_and_of_the_last_size_when_it_goes_on_and_only_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play() -> None:
        scene = Scene(monkeypatch)
        scene.pause()
        for rows in (10, 20, 30):
            await scene.resize(rows, 80)
        await scene.hang_up()
        assert scene.process.told == []
        await scene.resume()
        await scene.resume()
        assert scene.process.told == [(30, 80), (signal.SIGHUP, True)]
        await scene.close()

    asyncio.run(play())


def test_a_hang_up_that_a_guest_did_not_answer_is_said_again_when_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play() -> None:
        scene = Scene(monkeypatch)
        scene.process.silent = True
        await scene.hang_up()
        scene.process.silent = False
        await scene.resume()
        assert scene.process.told == [(signal.SIGHUP, True)]
        await scene.close()

    asyncio.run(play())


def test_a_command_that_has_ended_is_not_hung_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        scene = Scene(monkeypatch)
        scene.pause()
        await scene.hang_up()
        await scene.close()
        await scene.resume()
        assert scene.process.told == []

    asyncio.run(play())
