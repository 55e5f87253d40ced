"""Run, exec and attach without a socket and without a VMM: what becomes of command and machine, whoever leaves when."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from banger.agent.process import Output
from banger.api.machines import AttachMachine, ExecMachine
from banger.engine import attachments as module
from banger.errors import Error
from banger.machines.ask import commands
from banger.machines.ask.attachments import (
    Attachment,
    Detached,
    Exited,
    Failed,
    MachineMade,
    Said,
    Started,
)
from banger.machines.ask.execs import RunningExec
from banger.machines.keep.operations import Operations
from banger.model.command import Command, Exec, Exit
from banger.model.machine import Machine, MachineSpec, MachineState, RunRequest
from banger.model.operation import Progress, Report
from banger.model.principal import Principal
from banger.store.store import Store
from banger.wire.constants import STDOUT

DEADLINE_S = 30.0
ME = Principal(uid=0)
EXIT = Exit(code=3)


class Process:
    """A guest's process that the test plays."""

    def __init__(self) -> None:
        self.exit: Exit | None = None
        self.received = (0, 0)
        self._queue: asyncio.Queue[Output | Exit | Error] = asyncio.Queue()

    def puts(self, data: bytes) -> None:
        self._queue.put_nowait(Output(STDOUT, data))

    def ends(self, how: Exit | Error = EXIT) -> None:
        self._queue.put_nowait(how)

    async def outputs(self) -> AsyncIterator[Output]:
        while isinstance(one := await self._queue.get(), Output):
            yield one
        if isinstance(one, Error):
            raise one
        self.exit = one

    async def forget(self) -> None: ...


class Stage:
    """Everything below the engine, as far as attachments ask for it: a machine that starts when it may, its command."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_boot = asyncio.Event()
        self.may_boot.set()
        self.fails: Error | None = None
        self.told: list[str] = []
        self.process = Process()
        self.running: RunningExec | None = None
        self.machine = Machine(
            id="0123", name="dev", state=MachineState.CREATED, spec=MachineSpec(image="x"), created=""
        )
        self.live = SimpleNamespace(
            machine=self.machine,
            main=None,
            ended=asyncio.Event(),
            in_use=contextlib.nullcontext,
            keep_output=lambda running: self.told.append("kept"),
            start_exec=self.start_exec,
        )
        self.lives = SimpleNamespace(shutdown=asyncio.Event(), of=lambda machine: self.live)
        self.engine = cast(
            "Any",
            SimpleNamespace(
                operations=Operations(store.operations),
                lives=self.lives,
                makings=SimpleNamespace(drivers=None),
                passages=SimpleNamespace(denials=lambda machine: ()),
                registry=None,
            ),
        )
        lifecycle = SimpleNamespace(create=self.create, start=self.start, delete=self.delete)
        monkeypatch.setattr(module, "lifecycle", lifecycle)
        monkeypatch.setattr(module, "find", lambda registry, request: self.machine)
        monkeypatch.setattr(module, "awake", self.awake)
        monkeypatch.setattr(commands, "hang_up", self.hang_up)
        monkeypatch.setattr(commands, "find_command", lambda live, number: live.main)

    def create(self, registry: Any, drivers: Any, spec: MachineSpec, wanted: str, owner: int) -> Machine:
        msgspec.structs.force_setattr(self.machine, "spec", spec)
        return self.machine

    async def start(self, lives: Any, makings: Any, machine: Machine, report: Report, viewer: Any) -> None:
        try:
            report("boot", "booting")
            await self.may_boot.wait()
            if self.fails is not None:
                raise self.fails
        except asyncio.CancelledError:
            self.told.append("cancelled")
            raise
        self.live.main = self.begin(viewer)

    def begin(self, viewer: Any = None) -> RunningExec:
        self.running = RunningExec(cast("Any", self.process), Exec(id=5, pid=77), viewer=viewer)
        return self.running

    async def start_exec(self, command: Command, viewer: Any, applet: str = "") -> RunningExec:
        await self.may_boot.wait()
        self.told.append("begun")
        return self.begin(viewer)

    @contextlib.asynccontextmanager
    async def awake(self, lives: Any, machine: Machine) -> AsyncIterator[Any]:
        yield self.live

    async def hang_up(self, lives: Any, machine: Machine, running: RunningExec, number: int) -> None:
        self.told.append("hung up")

    async def delete(self, lives: Any, machine: Machine, *, force: bool) -> None:
        self.told.append("removed")

    def ends(self) -> None:
        """The command, and the machine with it."""
        self.process.ends()
        self.live.ended.set()

    def run(self, *, remove: bool = False, detach: bool = False) -> Attachment:
        spec = MachineSpec(image="x", remove=remove)
        return module.run(self.engine, ME, RunRequest(spec=spec, detach=detach))

    def exec(self) -> Attachment:
        return module.exec_command(self.engine, ME, ExecMachine(machine="dev"))

    def attach(self) -> Attachment:
        self.live.main = self.live.main or self.begin()
        return module.attach(self.engine, ME, AttachMachine(machine="dev"))


@pytest.fixture
def plays(store: Store, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a scene on a stage."""

    def play(scene: Any) -> None:
        async def limited() -> None:
            stage = Stage(store, monkeypatch)
            await asyncio.wait_for(scene(stage), DEADLINE_S)
            if stage.running is not None:
                stage.process.ends()
                await asyncio.wait([stage.running.done])
            await stage.engine.operations.close()

        asyncio.run(limited())

    return play


async def heard(attachment: Attachment) -> list[Said]:
    return [one async for one in attachment.said()]


async def until_said(attachment: Attachment, kind: type) -> None:
    async for one in attachment.said():
        if isinstance(one, kind):
            return


async def settled() -> None:
    """All that can happen without us has."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.parametrize("remove", [False, True])
def test_a_run_tells_all_in_its_order(plays: Any, remove: bool) -> None:
    async def scene(stage: Stage) -> None:
        attachment = stage.run(remove=remove)
        stage.process.puts(b"hello")
        stage.ends()
        said = await heard(attachment)
        assert [type(one) for one in said] == [MachineMade, Progress, Output, Started, Exited] or [
            type(one) for one in said
        ] == [MachineMade, Progress, Started, Output, Exited]
        last = said[-1]
        assert isinstance(last, Exited) and last.exit == EXIT
        assert {"create", "start", "run", "teardown", "total"} <= last.timings_ms.keys()
        assert stage.told == []  # the end of its command removes a machine, not the run

    plays(scene)


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("detach", [False, True])
def test_a_client_that_leaves_before_its_command_runs_leaves_nothing(
    plays: Any, remove: bool, detach: bool
) -> None:
    async def scene(stage: Stage) -> None:
        stage.may_boot.clear()
        attachment = stage.run(remove=remove, detach=detach)
        await until_said(attachment, Progress)
        await attachment.aclose()
        assert stage.told == ["cancelled", "removed"]
        assert await heard(attachment) == []

    plays(scene)


def test_a_client_that_leaves_at_once_leaves_nothing(plays: Any) -> None:
    async def scene(stage: Stage) -> None:
        attachment = stage.run()
        await attachment.aclose()
        assert stage.told in (["removed"], ["cancelled", "removed"])

    plays(scene)


def test_a_client_that_reads_nothing_and_leaves_cancels_its_start_too(plays: Any) -> None:
    async def scene(stage: Stage) -> None:
        stage.may_boot.clear()
        attachment = stage.run()
        await settled()
        (running,) = [r for r in stage.engine.operations._known.values() if not r.ended]
        for number in range(100):
            running.report("pull", done=number, total=100)
            await asyncio.sleep(0)
        await attachment.aclose()
        assert stage.told == ["cancelled", "removed"]

    plays(scene)


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("when", ["at once", "while it starts", "while it runs"])
def test_whoever_detaches_changes_nothing_whenever_that_is(plays: Any, when: str, remove: bool) -> None:
    """The start goes on, also when the connection breaks right after; the client that stays is told."""

    async def scene(stage: Stage) -> None:
        stage.may_boot.clear()
        attachment = stage.run(remove=remove)
        if when != "at once":
            await until_said(attachment, Progress)
        if when == "while it runs":
            stage.may_boot.set()
            await until_said(attachment, Started)
        attachment.detach()
        attachment.leave()
        await settled()
        stage.may_boot.set()
        assert (await heard(attachment))[-1] == Detached("dev")
        assert stage.told == ["kept"]
        assert stage.running is not None and stage.running.info.running

    plays(scene)


def test_whoever_detaches_from_a_start_that_fails_is_told_why(plays: Any) -> None:
    async def scene(stage: Stage) -> None:
        stage.may_boot.clear()
        stage.fails = Error("boot_timeout", "it does not boot")
        attachment = stage.run()
        await until_said(attachment, Progress)
        attachment.detach()
        stage.may_boot.set()
        assert await heard(attachment) == [Failed(stage.fails)]
        assert stage.told == ["removed"]

    plays(scene)


def test_a_start_that_fails_leaves_nothing(plays: Any) -> None:
    async def scene(stage: Stage) -> None:
        stage.fails = Error("boot_timeout", "it does not boot")
        assert (await heard(stage.run()))[-1] == Failed(stage.fails)
        assert stage.told == ["removed"]

    plays(scene)


def test_a_run_that_is_to_detach_says_so_once_its_command_runs(plays: Any) -> None:
    async def scene(stage: Stage) -> None:
        assert (await heard(stage.run(detach=True)))[-1] == Detached("dev")
        assert stage.told == []

    plays(scene)


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("pieces", [0, 100])
def test_a_client_that_leaves_a_run_takes_with_it_what_is_to_be_removed(
    plays: Any, remove: bool, pieces: int
) -> None:
    """Before the first output, and in the middle of more than it has read."""

    async def scene(stage: Stage) -> None:
        attachment = stage.run(remove=remove)
        await until_said(attachment, Started)
        for _ in range(pieces):
            stage.process.puts(b"x")
        await settled()
        await attachment.aclose()
        assert stage.told == (["removed"] if remove else [])
        assert stage.running is not None and stage.running.info.running

    plays(scene)


@pytest.mark.parametrize("error", [None, Error("payload_too_large", "more than was credited")])
def test_one_that_is_shown_out_is_as_one_that_leaves(plays: Any, error: Error | None) -> None:
    async def scene(stage: Stage) -> None:
        attachment = stage.run(remove=True)
        await until_said(attachment, Started)
        attachment.leave(error)
        assert await heard(attachment) == ([] if error is None else [Failed(error)])
        assert stage.told == ["removed"]

    plays(scene)


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("ended", [False, True])
def test_a_run_whose_command_cannot_be_followed_any_more_does_not_go_on_unattended(
    plays: Any, monkeypatch: pytest.MonkeyPatch, remove: bool, ended: bool
) -> None:
    """Unless its machine has gone already, which is why its agent went."""
    monkeypatch.setattr(module, "_VMM_ENDS_S", 0.01)
    error = Error("agent_lost", "the agent breaks the protocol")

    async def scene(stage: Stage) -> None:
        attachment = stage.run(remove=remove)
        await until_said(attachment, Started)
        if ended:
            stage.live.ended.set()
        stage.process.ends(error)
        assert await heard(attachment) == [Failed(error)]
        assert stage.told == (["removed"] if remove and not ended else [])

    plays(scene)


def test_a_daemon_that_ends_leaves_its_machines(plays: Any) -> None:
    async def scene(stage: Stage) -> None:
        attachment = stage.run(remove=True)
        await until_said(attachment, Started)
        stage.lives.shutdown.set()
        stage.process.ends(Error("agent_lost", "the connection was closed"))
        await heard(attachment)
        assert stage.told == []

    plays(scene)


@pytest.mark.parametrize("remove", [False, True])
def test_after_the_command_the_machine_ends_and_it_is_too_late_to_detach(plays: Any, remove: bool) -> None:
    async def scene(stage: Stage) -> None:
        attachment = stage.run(remove=remove)
        await until_said(attachment, Started)
        stage.process.ends()
        await settled()
        attachment.detach()
        (last,) = await heard(attachment)
        assert isinstance(last, Exited) and last.exit == EXIT
        assert stage.told == []

    plays(scene)


async def exec_until(stage: Stage, when: str) -> Attachment:
    if when != "while it runs":
        stage.may_boot.clear()
    attachment = stage.exec()
    if when == "during the start":
        await settled()
    elif when == "while it runs":
        await until_said(attachment, Started)
    return attachment


@pytest.mark.parametrize("when", ["before the start", "during the start", "while it runs"])
def test_an_exec_whose_client_leaves_is_hung_up(plays: Any, when: str) -> None:
    async def scene(stage: Stage) -> None:
        attachment = await exec_until(stage, when)
        attachment.leave()
        stage.may_boot.set()
        await attachment.aclose()
        assert stage.told == ([] if when == "before the start" else ["begun", "hung up"])

    plays(scene)


@pytest.mark.parametrize("when", ["before the start", "during the start", "while it runs"])
def test_an_exec_that_is_detached_from_is_kept(plays: Any, when: str) -> None:
    async def scene(stage: Stage) -> None:
        attachment = await exec_until(stage, when)
        attachment.detach()
        stage.may_boot.set()
        assert await heard(attachment) == [Detached("dev")]
        assert stage.told == ["begun", "kept"]

    plays(scene)


def test_whoever_attaches_may_leave_and_the_command_goes_on(plays: Any) -> None:
    async def scene(stage: Stage) -> None:
        first, second = stage.attach(), stage.attach()
        for attachment in (first, second):
            await until_said(attachment, Started)
        await first.aclose()
        stage.process.puts(b"x")
        stage.ends()
        assert await heard(second) == [Output(STDOUT, b"x"), Exited(EXIT, {})]
        assert stage.told == []

    plays(scene)


@pytest.mark.parametrize("goes", ["leaves", "detaches"])
def test_whoever_attaches_may_go_after_the_exit_too(plays: Any, goes: str) -> None:
    async def scene(stage: Stage) -> None:
        attachment = stage.attach()
        await until_said(attachment, Started)
        stage.process.ends()
        await settled()
        attachment.detach() if goes == "detaches" else attachment.leave()
        said = await heard(attachment)
        assert said == ([Exited(EXIT, {})] if goes == "detaches" else [])

    plays(scene)


def test_a_path_of_the_host_is_run_for_nobody_else(plays: Any) -> None:
    async def scene(stage: Stage) -> None:
        request = RunRequest(spec=MachineSpec(image="rootfs:/"))
        with pytest.raises(Error) as caught:
            module.run(stage.engine, Principal(uid=4_000_000), request)
        assert caught.value.code == "not_permitted"

    plays(scene)
