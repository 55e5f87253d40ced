"""Time-outs of commands in guests that do not keep them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from banger.agent.process import Output
from banger.errors import Error
from banger.machines.ask import deadlines
from banger.machines.ask.execs import RunningExec
from banger.model.command import Exec, Exit
from banger.wire.constants import STDOUT

TIMEOUT_S = 0.02
# Nothing that is waited for here takes so long.
LIMIT_S = 30.0


class Guest:
    """A command, and the guest that it is in."""

    def __init__(self) -> None:
        self.exit: Exit | None = None
        self.waits_for_guest = False
        self.received = (0, 0)
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.asked = 0
        self.is_silent = self.stands_still = False
        self.on_asked: Callable[[], None] = lambda: None

    async def outputs(self) -> AsyncIterator[Output]:
        while True:
            self.waits_for_guest = True
            piece = await self.pieces.get()
            self.waits_for_guest = False
            if piece is None:
                self.exit = Exit(code=124, timed_out=True)
                return
            yield Output(STDOUT, piece)

    def puts(self, data: bytes) -> None:
        self.received = (self.received[0] + len(data), 0)
        self.pieces.put_nowait(data)

    def ends(self) -> None:
        self.pieces.put_nowait(None)

    async def forget(self) -> None: ...

    async def answers(self) -> bool:
        self.asked += 1
        self.on_asked()
        return not self.is_silent


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "MARGIN_S", 0.01)
    monkeypatch.setattr(deadlines, "PATIENCE_S", 0.05)


def play(scenario: Callable[[Guest, RunningExec, asyncio.Task[None]], Any]) -> None:
    async def whole() -> None:
        guest = Guest()
        process: Any = guest
        running = RunningExec(process, Exec(id=1))
        watching = asyncio.create_task(
            deadlines.watch_deadline(running, "dev", TIMEOUT_S, lambda: guest.stands_still, guest.answers)
        )
        async with asyncio.timeout(LIMIT_S):
            await scenario(guest, running, watching)
        for task in (watching, running._pump_task):
            task.cancel()

    asyncio.run(whole())


async def overdue(running: RunningExec) -> Error:
    with pytest.raises(Error) as caught:
        await running.ended()
    return caught.value


def test_a_guest_that_does_not_answer_keeps_nobody_waiting() -> None:
    async def scenario(guest: Guest, running: RunningExec, watching: asyncio.Task[None]) -> None:
        guest.is_silent = True
        error = await overdue(running)
        assert (error.code, error.exit_code) == ("timeout", 124) and "does not answer" in error.message
        assert guest.asked == 1 and running.info.running
        guest.ends()  # it goes on: what became of the command is known then
        assert (await running.done).code == 124 and running.info.exit is not None
        assert (await running.ended()).timed_out

    play(scenario)


def test_a_guest_that_answers_and_ends_nothing_keeps_nobody_waiting() -> None:
    async def scenario(guest: Guest, running: RunningExec, watching: asyncio.Task[None]) -> None:
        error = await overdue(running)
        assert error.code == "timeout" and "has not ended it" in error.message
        assert guest.asked > 2

    play(scenario)


def test_a_guest_that_keeps_time_is_not_asked() -> None:
    async def scenario(guest: Guest, running: RunningExec, watching: asyncio.Task[None]) -> None:
        guest.ends()
        assert (await running.ended()).code == 124
        await watching
        assert guest.asked == 0

    play(scenario)


def test_a_guest_that_is_a_little_late_is_heard() -> None:
    async def scenario(guest: Guest, running: RunningExec, watching: asyncio.Task[None]) -> None:
        guest.on_asked = guest.ends
        assert (await running.ended()).timed_out
        await watching
        assert guest.asked == 1

    play(scenario)


def test_time_stands_still_in_a_machine_that_is_paused() -> None:
    async def scenario(guest: Guest, running: RunningExec, watching: asyncio.Task[None]) -> None:
        guest.stands_still = guest.is_silent = True
        await asyncio.wait([watching], timeout=0.3)
        assert not watching.done() and guest.asked == 0
        guest.stands_still = False
        assert (await overdue(running)).code == "timeout"

    play(scenario)


def test_a_machine_that_is_paused_while_it_is_asked_is_not_silent() -> None:
    async def scenario(guest: Guest, running: RunningExec, watching: asyncio.Task[None]) -> None:
        def pause() -> None:
            guest.stands_still = True

        guest.is_silent, guest.on_asked = True, pause
        await asyncio.wait([watching], timeout=0.3)
        assert not watching.done() and guest.asked == 1

    play(scenario)


def test_output_that_a_client_has_not_taken_is_waited_for() -> None:
    async def scenario(guest: Guest, running: RunningExec, watching: asyncio.Task[None]) -> None:
        taking, seen = asyncio.Event(), []

        async def slow(output: Output) -> None:
            await taking.wait()
            seen.append(output.data)

        running.watch(slow)
        guest.is_silent = True
        guest.puts(b"last words")
        await asyncio.wait([watching], timeout=0.3)
        assert not watching.done() and guest.asked == 0
        guest.ends()
        taking.set()
        assert (await running.ended()).timed_out and seen == [b"last words"]

    play(scenario)


def test_output_without_end_is_none_of_a_command_that_has_ended() -> None:
    async def scenario(guest: Guest, running: RunningExec, watching: asyncio.Task[None]) -> None:
        async def busy(output: Output) -> None:
            await asyncio.sleep(0.001)
            guest.puts(bytes(1 << 20))

        running.watch(busy)
        guest.puts(b"x")
        assert "has not ended it" in (await overdue(running)).message
        running.unwatch(busy)

    play(scenario)
