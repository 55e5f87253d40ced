"""Healthchecks: when results count, what is recorded and told, and that a guest cannot hold a check up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ParamSpec

import pytest

from banger.agent.connection import AgentConnection
from banger.errors import Error
from banger.machines.keep.events import Journal
from banger.machines.keep.registry import Registry
from banger.machines.watch import healthchecks
from banger.machines.watch.healthchecks import Healthchecks, run_check
from banger.model.command import Command
from banger.model.healthcheck import HealthCheck
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.store.store import Store
from banger.wire.constants import STDOUT, Tag, Type
from banger.wire.fields import Fields, encode_fields
from banger.wire.frames import encode_frame
from tests.support.agent_pair import Stranger, data_frame, open_pair

CHECK = HealthCheck(
    test=("check",), interval_s=0.01, timeout_s=0.05, retries=3, start_interval_s=0.01, start_period_s=0
)
P = ParamSpec("P")


def on_a_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """The test, on a loop of its own."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def whole() -> None:
            async with asyncio.timeout(60):
                await test(*args, **kwargs)

        asyncio.run(whole())

    return run


class Home:
    """A store with a machine that runs, and a watch of its health whose checks have these results."""

    def __init__(self, path: Path, check: HealthCheck | None = CHECK) -> None:
        self.store = Store(path)
        journal = Journal(self.store.events)
        self.registry = Registry(self.store, journal.tell)
        spec = MachineSpec(image="debian", healthcheck=check, command=Command(argv=["serve"], env={"A": "b"}))
        self.machine = Machine(id="0", name="web", state=MachineState.CREATED, spec=spec, created="now")
        self.registry.add(self.machine)
        self.registry.move(self.machine, "start")
        self.registry.move(self.machine, "booted")
        self.live: Any = SimpleNamespace(
            machine=self.machine, gone=asyncio.Event(), disk_full=False, parted=None
        )

    def checks(self) -> Healthchecks:
        lives: Any = SimpleNamespace(registry=self.registry, on_begin=[])
        made = Healthchecks(lives)
        lives.on_begin[0](self.live)
        return made

    def health(self) -> str:
        return self.machine.health

    def told(self) -> list[str]:
        return [e.message for e in self.store.events.page(0, 100) if "healthy" in e.kind]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "s.db")


def give(monkeypatch: pytest.MonkeyPatch, results: Sequence[str]) -> list[str]:
    """Let checks have these results, then stand still. Returns the results that are left."""
    left = [*results]

    async def run(live: object, check: object) -> str:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    monkeypatch.setattr(healthchecks, "run_check", run)
    return left


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@on_a_loop
async def test_a_machine_becomes_healthy_unhealthy_and_healthy_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home.health() == "starting"
    left = give(monkeypatch, ["", "", "no", "no", "", "no", "no", "exit code 1: no", ""])
    checks = home.checks()
    await until(lambda: not left and len(home.told()) == 3)
    assert home.told() == ["web is healthy", "web is unhealthy: exit code 1: no", "web is healthy"]
    assert home.health() == "healthy"
    checks.close()


@on_a_loop
async def test_failures_before_the_first_success_count_only_after_the_start_period(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = HealthCheck(test=("c",), interval_s=0.01, start_interval_s=0.01, retries=2, start_period_s=3600)
    home = Home(tmp_path / "s.db", check)
    left = give(monkeypatch, ["no"] * 8 + [""] + ["no", "no"])
    checks = home.checks()
    await until(lambda: not left and len(home.told()) == 2)
    assert home.told() == ["web is healthy", "web is unhealthy: no"]
    checks.close()


@on_a_loop
async def test_the_next_daemon_continues_with_what_the_record_says(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.registry.change(home.machine, health="healthy")
    left = give(monkeypatch, ["no", "no", "no"])
    checks = home.checks()
    await until(lambda: not left and home.health() == "unhealthy")
    checks.close()


@on_a_loop
async def test_a_paused_machine_is_not_checked_and_a_stopped_one_has_no_health(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.registry.move(home.machine, "pause")
    left = give(monkeypatch, ["no"])
    checks = home.checks()
    await asyncio.sleep(0.1)
    assert left == ["no"] and home.health() == "starting"
    home.registry.move(home.machine, "stop")
    home.registry.move(home.machine, "exited")
    assert home.health() == ""
    home.live.gone.set()
    await until(lambda: not checks._going)


@on_a_loop
async def test_a_machine_without_a_check_is_left_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "s.db", None)
    assert home.checks()._going == {} and home.health() == ""


def live_with(connection: AgentConnection, home: Home) -> Any:
    home.live.agent = lambda: connection
    return home.live


async def exits(stranger: Stranger, code: int, said: bytes = b"", timed_out: int = 0) -> Fields:
    """The guest's side of a check: what was asked for."""
    request = await stranger.receive(Type.EXEC)
    await stranger.send(encode_frame(Type.OK, request.channel, encode_fields([(Tag.PID, 7)])))
    if said:
        await stranger.send(data_frame(request.channel, STDOUT, 0, said))
    ended = encode_fields([(Tag.EXIT_CODE, code), (Tag.TIMED_OUT, timed_out)])
    await stranger.send(encode_frame(Type.EXIT, request.channel, ended))
    await stranger.answer(Type.FORGET)
    return Fields(request.payload)


@pytest.mark.parametrize(
    ("code", "said", "timed_out", "why"),
    [
        (0, b"fine\n", 0, ""),
        (3, b"first\nno \x1b[31mserver\n\n", 0, "exit code 3: no ?[31mserver"),
        (1, b"", 0, "exit code 1"),
        (1, b"x" * 5000, 0, "exit code 1: " + "x" * 200),
        (0, b"", 1, "it took longer than 0.05 s"),
    ],
)
@on_a_loop
async def test_a_check_is_a_command_with_the_variables_of_the_main_command(
    home: Home, code: int, said: bytes, timed_out: int, why: str
) -> None:
    async with open_pair() as (connection, stranger):
        guest = asyncio.create_task(exits(stranger, code, said, timed_out))
        assert await run_check(live_with(connection, home), CHECK) == why
        asked = await guest
        assert asked.all_bytes(Tag.ARGV) == [b"check"] and asked.all_bytes(Tag.ENV) == [b"A=b"]
        assert asked.int_(Tag.TIMEOUT_MS) == 50


@on_a_loop
async def test_a_guest_that_does_not_answer_or_never_ends_the_check_fails_it_in_time(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healthchecks, "_MARGIN_S", 0.05)
    async with open_pair() as (connection, stranger):
        begun = time.monotonic()
        assert await run_check(live_with(connection, home), CHECK)
        answering = asyncio.create_task(stranger.answer(Type.EXEC))
        assert "did not end it" in await run_check(live_with(connection, home), CHECK)
        await answering
        await stranger.receive(Type.SIGNAL)  # it is killed, should the guest go on
        assert time.monotonic() - begun < 20


@on_a_loop
async def test_a_machine_whose_agent_is_gone_fails_its_check(home: Home) -> None:
    def gone() -> AgentConnection:
        raise Error("agent_lost", "the agent is gone")

    home.live.agent = gone
    assert await run_check(home.live, CHECK) == "the agent is gone"
