"""Attachments without a socket: every order in which client, command and orders can come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest

from banger.agent.process import Output
from banger.errors import Error
from banger.machines.ask.attachments import (
    STDIN_LIMIT_BYTES,
    Attachment,
    Consumed,
    Detached,
    Exited,
    Failed,
    Last,
    Left,
    Parted,
    Refused,
    Said,
    Started,
)
from banger.machines.ask.execs import RunningExec
from banger.model.command import Exec, Exit
from banger.wire.constants import STDOUT

DEADLINE_S = 30.0
EXIT = Exit(code=0)


class Process:
    """A guest's process that the test plays: what it writes and when it ends."""

    def __init__(self) -> None:
        self.exit: Exit | None = None
        self.written = bytearray()
        self.stdin_closed = False
        self.takes_stdin = asyncio.Event()
        self.takes_stdin.set()
        self.shown = self.writes = 0
        self._queue: asyncio.Queue[Output | None] = asyncio.Queue()

    def puts(self, data: bytes) -> None:
        self._queue.put_nowait(Output(STDOUT, data))

    def ends(self) -> None:
        self._queue.put_nowait(None)

    async def outputs(self) -> AsyncIterator[Output]:
        while (output := await self._queue.get()) is not None:
            yield output
            self.shown += 1
        self.exit = EXIT

    async def write(self, data: bytes) -> None:
        await self.takes_stdin.wait()
        self.written += data
        self.writes += 1

    def close_stdin(self) -> None:
        self.stdin_closed = True

    async def forget(self) -> None: ...


async def no_order(order: object) -> None:
    raise AssertionError(order)


class Scene:
    """One command, and attachments to it."""

    def __init__(self, obey: Callable[[Any], Awaitable[None]] = no_order) -> None:
        self.process = Process()
        self.running = RunningExec(cast("Any", self.process), Exec(id=5))
        self.obey = obey
        self.why: list[str] = []
        self.watched = asyncio.Event()
        self.attached = 0

    async def life(self, attachment: Attachment) -> Last:
        self.running.watch(attachment.show)
        self.watched.set()
        self.attached += 1
        try:
            await attachment.say(Started(5, 77))
            await attachment.follow(self.running, self.obey)
        except Parted:
            self.why.append("parted")
            return Detached("dev")
        except Left:
            self.why.append("left")
            raise
        finally:
            self.running.unwatch(attachment.show)
        return Exited(self.running.done.result(), {})

    def attach(self) -> Attachment:
        return Attachment(self.life)


def within(work: Awaitable[None]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(work, DEADLINE_S)

    asyncio.run(limited())


async def heard(attachment: Attachment) -> list[Said]:
    return [one async for one in attachment.said()]


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_output_comes_in_order_and_the_exit_last() -> None:
    async def play() -> None:
        scene = Scene()
        attachment = scene.attach()
        await scene.watched.wait()
        for piece in (b"a", b"b", b"c"):
            scene.process.puts(piece)
        scene.process.ends()
        outputs: list[Said] = [Output(STDOUT, piece) for piece in (b"a", b"b", b"c")]
        assert await heard(attachment) == [Started(5, 77), *outputs, Exited(EXIT, {})]

    within(play())


def test_a_client_that_reads_nothing_stops_its_command_and_nothing_piles_up() -> None:
    async def play() -> None:
        scene = Scene()
        attachment = scene.attach()
        await scene.watched.wait()
        for _ in range(100):
            scene.process.puts(b"x")
        await until(lambda: scene.process.shown)
        await asyncio.sleep(0)
        before = scene.process.shown
        for _ in range(50):
            await asyncio.sleep(0)
        assert scene.process.shown == before < 10
        scene.process.ends()
        assert len(await heard(attachment)) == 102

    within(play())


@pytest.mark.parametrize("pieces", [0, 100])
def test_a_client_that_leaves_hears_no_more_and_the_command_goes_on(pieces: int) -> None:
    """Before the first output, and in the middle of more than there is room for."""

    async def play() -> None:
        scene = Scene()
        attachment = scene.attach()
        await scene.watched.wait()
        for _ in range(pieces):
            scene.process.puts(b"x")
        await asyncio.sleep(0.01)
        await attachment.aclose()
        assert scene.why == ["left"]
        assert await heard(attachment) == []
        scene.process.ends()
        assert await scene.running.done == EXIT

    within(play())


def test_a_client_may_leave_before_anything_was_said() -> None:
    async def play() -> None:
        scene = Scene()
        attachment = scene.attach()
        await attachment.aclose()
        assert await heard(attachment) == [] and scene.why == ["left"]
        scene.process.ends()
        await scene.running.done

    within(play())


def test_a_client_may_leave_after_the_exit_before_it_reads_it() -> None:
    async def play() -> None:
        scene = Scene()
        attachment = scene.attach()
        scene.process.ends()
        await scene.running.done
        await attachment.aclose()
        assert scene.why == []
        assert [type(one) for one in await heard(attachment)] == [Started, Exited]

    within(play())


def test_a_start_is_cancelled_when_its_client_leaves() -> None:
    cancelled = []

    async def life(attachment: Attachment) -> Last:
        async def start() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        await attachment.unless_left(start())
        raise AssertionError

    async def play() -> None:
        attachment = Attachment(life)
        await asyncio.sleep(0)
        await attachment.aclose()
        assert cancelled == [True] and await heard(attachment) == []

    within(play())


def test_whoever_detaches_is_told_so_and_the_command_goes_on() -> None:
    async def play() -> None:
        scene = Scene()
        attachment = scene.attach()
        await scene.watched.wait()
        attachment.detach()
        assert await heard(attachment) == [Started(5, 77), Detached("dev")]
        assert scene.running.info.running and scene.why == ["parted"]
        scene.process.ends()
        await scene.running.done

    within(play())


def test_an_order_that_is_refused_is_told_and_ends_nothing() -> None:
    error = Error("bad_state", "the machine is paused")

    async def refuse(order: object) -> None:
        raise error

    async def play() -> None:
        scene = Scene(refuse)
        attachment = scene.attach()
        attachment.signal(15)
        attachment.write(b"still")
        await until(lambda: scene.process.written == b"still")
        scene.process.ends()
        said = await heard(attachment)
        assert said[0] == Started(5, 77) and said[-1] == Exited(EXIT, {})
        assert Refused(error) in said and Consumed(5) in said

    within(play())


def test_an_order_that_hangs_stops_neither_stdin_nor_a_detach() -> None:
    async def hang(order: object) -> None:
        await asyncio.Event().wait()

    async def play() -> None:
        scene = Scene(hang)
        attachment = scene.attach()
        attachment.resize(24, 80)
        attachment.write(b"in")
        attachment.close_stdin()
        await until(lambda: scene.process.stdin_closed)
        attachment.detach()
        assert (await heard(attachment))[-1] == Detached("dev")
        scene.process.ends()
        await scene.running.done

    within(play())


def test_of_sizes_that_wait_the_last_counts_and_signals_keep_their_order() -> None:
    obeyed: list[object] = []
    go_on = asyncio.Event()

    async def obey(order: object) -> None:
        obeyed.append(order)
        await go_on.wait()

    async def play() -> None:
        scene = Scene(obey)
        attachment = scene.attach()
        attachment.signal(1)
        await until(lambda: obeyed)
        for rows in range(1, 1000):
            attachment.resize(rows, 80)
        attachment.signal(2)
        go_on.set()
        await until(lambda: len(obeyed) == 3)
        assert obeyed == [1, 2, (999, 80)]
        scene.process.ends()
        await heard(attachment)

    within(play())


def test_signals_that_nothing_takes_are_bounded_and_end_nothing() -> None:
    """Not one of them ends the attachment, and a client that does not listen makes nothing pile up."""

    async def hang(order: object) -> None:
        await asyncio.Event().wait()

    async def play() -> None:
        scene = Scene(hang)
        attachment = scene.attach()
        await scene.watched.wait()
        for _ in range(10_000):
            attachment.signal(1)
        attachment.write(b"still")
        await until(lambda: scene.process.written == b"still")
        scene.process.ends()
        said = await heard(attachment)
        refused = [one.error.code for one in said if isinstance(one, Refused)]
        assert set(refused) == {"bad_state"} and len(refused) < 20
        assert said[-1] == Exited(EXIT, {})

    within(play())


def test_an_order_that_comes_after_the_end_is_nobodys_trouble() -> None:
    arrived, answer = asyncio.Event(), asyncio.Event()

    async def too_late(order: object) -> None:
        arrived.set()
        await answer.wait()
        raise Error("agent_error", "the process has ended")

    async def play() -> None:
        scene = Scene(too_late)
        attachment = scene.attach()
        attachment.signal(15)
        await arrived.wait()
        scene.process.ends()
        await scene.running.done
        answer.set()
        attachment.signal(15)
        attachment.resize(1, 1)
        assert await heard(attachment) == [Started(5, 77), Exited(EXIT, {})]
        attachment.refuse(Error("bad_request", "x"))
        attachment.write(b"x")
        attachment.close_stdin()
        attachment.detach()
        await attachment.aclose()
        assert await heard(attachment) == []

    within(play())


def test_stdin_in_small_pieces_takes_no_more_room_than_its_bytes_and_ends_once() -> None:
    async def play() -> None:
        scene = Scene()
        scene.process.takes_stdin.clear()
        attachment = scene.attach()
        for _ in range(2000):
            attachment.write(b"ab")
            attachment.write(b"")
        for _ in range(2000):
            attachment.close_stdin()
        attachment.write(b"after the end")
        await scene.watched.wait()
        scene.process.takes_stdin.set()
        await until(lambda: scene.process.stdin_closed)
        assert scene.process.written == b"ab" * 2000
        assert scene.process.writes < 10
        scene.process.ends()
        assert Consumed(4000) in await heard(attachment)

    within(play())


def test_a_large_stdin_passes_through_and_is_credited_to_its_end() -> None:
    whole = bytes(range(256)) * 16384

    async def play() -> None:
        scene = Scene()
        attachment = scene.attach()
        await scene.watched.wait()
        sent, credited, said = 0, 0, attachment.said()
        assert await anext(said) == Started(5, 77)
        while credited < len(whole):
            while sent < len(whole) and sent - credited < STDIN_LIMIT_BYTES:
                attachment.write(whole[sent : sent + 65536])
                sent += 65536
            one = await anext(said)
            assert isinstance(one, Consumed) and one.total_bytes > credited
            credited = one.total_bytes
        assert scene.process.written == whole
        scene.process.ends()
        assert [one async for one in said] == [Exited(EXIT, {})]

    within(play())


def test_more_stdin_than_was_credited_is_refused_and_its_error_is_the_last_word() -> None:
    async def play() -> None:
        scene = Scene()
        scene.process.takes_stdin.clear()
        attachment = scene.attach()
        attachment.write(bytes(STDIN_LIMIT_BYTES))
        with pytest.raises(Error) as caught:
            attachment.write(b"x")
        attachment.leave(caught.value)
        assert (await heard(attachment))[-1] == Failed(caught.value)
        scene.process.ends()
        await scene.running.done

    within(play())


@pytest.mark.parametrize("goes", ["leaves", "detaches"])
def test_two_attachments_see_the_same_and_each_leaves_alone(goes: str) -> None:
    async def play() -> None:
        scene = Scene()
        first, second = scene.attach(), scene.attach()
        await until(lambda: scene.attached == 2)
        scene.process.puts(b"x")
        for attachment in (first, second):
            said = attachment.said()
            assert [await anext(said), await anext(said)] == [Started(5, 77), Output(STDOUT, b"x")]
        if goes == "leaves":
            await first.aclose()
            assert await heard(first) == []
        else:
            first.detach()
            assert await heard(first) == [Detached("dev")]
        scene.process.puts(b"y")
        second.write(b"in")
        await until(lambda: scene.process.written == b"in")
        scene.process.ends()
        said_last = [one for one in await heard(second) if not isinstance(one, Consumed)]
        assert said_last == [Output(STDOUT, b"y"), Exited(EXIT, {})]

    within(play())


def test_one_that_reads_nothing_holds_the_other_up_until_it_leaves() -> None:
    async def play() -> None:
        scene = Scene()
        slow, quick = scene.attach(), scene.attach()
        await until(lambda: scene.attached == 2)
        for _ in range(100):
            scene.process.puts(b"x")
        scene.process.ends()
        reading = asyncio.create_task(heard(quick))
        await until(lambda: scene.process.shown)
        for _ in range(50):
            await asyncio.sleep(0)
        assert not reading.done()
        await slow.aclose()
        assert len(await reading) == 102

    within(play())


def test_a_bug_is_an_error_with_a_code() -> None:
    async def life(attachment: Attachment) -> Last:
        raise ZeroDivisionError

    async def play() -> None:
        (last,) = await heard(Attachment(life))
        assert isinstance(last, Failed) and last.error.code == "internal"

    within(play())
