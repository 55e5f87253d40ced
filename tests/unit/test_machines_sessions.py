"""Sessions with agents that are not the ones that they were."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from banger.agent.connection import agent_restarted
from banger.errors import Error
from banger.machines.ask import pausing
from banger.machines.life import sessions
from banger.machines.life.live import LiveMachine
from banger.model.machine import MachineState


def lost_by(
    error: Error | None,
    state: MachineState = MachineState.RUNNING,
    parted: object = None,
    pausing: asyncio.Lock | None = None,
) -> Any:
    machine, pausing = SimpleNamespace(state=state), pausing or asyncio.Lock()
    return SimpleNamespace(lost=error, machine=machine, gone=asyncio.Event(), parted=parted, pausing=pausing)


def test_only_an_agent_that_says_that_it_is_new_is_turned_to_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """All other losses wait for somebody who needs the guest."""
    asked: list[Any] = []

    async def reconnect(lives: Any, live: Any) -> None:
        asked.append(live)

    monkeypatch.setattr(sessions, "reconnect", reconnect)
    restarted = agent_restarted("dev")
    wanted = lost_by(restarted)
    others = [lost_by(None), lost_by(Error("agent_lost", "x")), lost_by(restarted, MachineState.PAUSED)]
    lives: Any = SimpleNamespace()
    asyncio.run(sessions.renew_sessions(lives, [wanted, *others]))
    assert asked == [wanted]


def test_a_session_that_ended_for_a_copy_begins_again_unless_the_copy_is_still_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    async def reconnect(lives: Any, live: Any) -> None:
        asked.append(live)

    async def work() -> None:
        busy = asyncio.Lock()
        await busy.acquire()
        error = Error("agent_lost", "x")
        left, copied = lost_by(error, parted=object()), lost_by(error, parted=object(), pausing=busy)
        paused = lost_by(error, MachineState.PAUSED, parted=object())
        lives: Any = SimpleNamespace()
        await sessions.renew_sessions(lives, [left, copied, paused])
        assert asked == [left]

    monkeypatch.setattr(sessions, "reconnect", reconnect)
    asyncio.run(work())


@pytest.mark.parametrize(
    ("before", "now", "another"),
    [("", b"a", False), ("61", b"a", False), ("62", b"a", True), ("61", b"", True)],
)
def test_another_agent_is_known_by_its_boot_and_noticed_once(before: str, now: bytes, another: bool) -> None:
    live: Any = SimpleNamespace(agent_boot=before)
    connection: Any = SimpleNamespace(welcome=SimpleNamespace(boot=now))
    assert LiveMachine.has_another_agent(live, connection) is another
    assert LiveMachine.has_another_agent(live, connection) is False


@pytest.mark.parametrize("held", [True, False, Error("timeout", "the VMM is stuck")])
def test_a_guest_that_does_not_answer_is_given_up_only_when_nobody_is_there(held: bool | Error) -> None:
    given_up: list[Error] = []

    async def is_held() -> bool:
        if isinstance(held, Error):
            raise held
        return held

    live: Any = SimpleNamespace(
        machine=SimpleNamespace(name="dev"),
        connection=SimpleNamespace(give_up=given_up.append),
        vm=SimpleNamespace(agent_port_is_held=is_held),
    )
    asyncio.run(sessions.give_up_deserted(live))
    assert [error.code for error in given_up] == (["agent_lost"] if held is False else [])


class Guestless:
    """A machine of an earlier daemon, paused, whose agent does not answer."""

    def __init__(self) -> None:
        self.machine = SimpleNamespace(name="dev", state=MachineState.PAUSED, pause_cause=None)
        self.connection = self.parted = None
        self.lost: Error | None = None
        self.reconnecting, self.disk_full = asyncio.Lock(), False
        self.vm = SimpleNamespace(resume=self._resume, open_agent=None)
        self.resumed = 0

    async def _resume(self) -> None:
        self.resumed += 1

    async def catch_up(self) -> None:
        pass

    def on_agent_lost(self, error: Error) -> None:
        self.lost = error


def test_a_machine_goes_on_although_its_agent_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first session in this daemon fails: the machine runs, and the next request tries again."""
    moved: list[str] = []

    async def fail(*arguments: Any, **options: Any) -> None:
        raise Error("agent_lost", "the agent port of dev does not answer within 10 s")

    async def work(live: Any) -> None:
        lives: Any = SimpleNamespace(registry=SimpleNamespace(move=lambda machine, verb: moved.append(verb)))
        await pausing.go_on(lives, live)

    monkeypatch.setattr(sessions, "open_connection", fail)
    live = Guestless()
    asyncio.run(work(live))
    assert live.resumed == 1 and moved == ["resume"]
    assert live.lost is not None and live.lost.code == "agent_lost"
