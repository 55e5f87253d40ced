"""Commands go on in the session that follows theirs: no byte is lost, none comes twice, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from banger.agent.connection import AgentConnection
from banger.agent.dialing import GuestConnection, dial_port
from banger.agent.parted import Parted
from banger.agent.process import GuestProcess, KnownExec, start_process
from banger.errors import Error
from banger.model.command import Command
from banger.wire.constants import MAX_DATA, STDIN, STDOUT, WINDOW, Tag, Type
from banger.wire.fields import Fields, encode_fields
from banger.wire.frames import encode_frame
from tests.support.agent_pair import Stranger, data_frame, open_pair

ENDED = Error("agent_lost", "the session ended")
CAT = Command(argv=["cat"], stdin=True)
LIMIT_S = 30.0


def within(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(LIMIT_S):
            await work

    asyncio.run(bounded())


@contextlib.asynccontextmanager
async def sessions() -> AsyncIterator[tuple[AgentConnection, Stranger, AgentConnection, Stranger]]:
    """One, and the one that follows."""
    async with open_pair() as (first, old), open_pair() as (second, new):
        yield first, old, second, new


def entry_of(process: GuestProcess, *offsets: int, running: bool = True) -> KnownExec:
    return KnownExec(process.channel, 100, running, None, [*offsets], "")


async def go_on(parted: Parted, connection: AgentConnection, agent: Stranger, *known: KnownExec) -> None:
    """With an agent that agrees."""
    going = asyncio.create_task(parted.go_on(connection, list(known), LIMIT_S))
    for _ in known:
        await agent.answer(Type.ATTACH)
    assert await going == []


def exited(channel: int, code: int) -> bytes:
    return encode_frame(Type.EXIT, channel, encode_fields([(Tag.EXIT_CODE, code)]))


def offset(number: int) -> bytes:
    return number.to_bytes(8, "little")


async def read_all(process: GuestProcess) -> bytes:
    return b"".join([output.data async for output in process.outputs()])


def test_a_reader_hears_each_byte_once_and_the_exit() -> None:
    async def work() -> None:
        async with sessions() as (first, old, second, new):
            process = GuestProcess(first, 1)
            reading = asyncio.create_task(read_all(process))
            await old.send(data_frame(1, STDOUT, 0, b"one two "))
            while not process.received[0]:
                await asyncio.sleep(0.001)
            parted = Parted(first, ENDED)
            await asyncio.sleep(0.01)
            assert not reading.done()
            await go_on(parted, second, new, entry_of(process, 0, 4, 0))
            await new.send(data_frame(1, STDOUT, 4, b"two three") + exited(1, 7))
            assert await reading == b"one two three"
            assert process.exit is not None and process.exit.code == 7

    within(work())


def test_credits_that_were_lost_with_the_session_are_given_again() -> None:
    """The agent sent as much as it may, all of it was read, and no credit reached it: it would wait for ever."""

    async def work() -> None:
        async with sessions() as (first, old, second, new):
            process = GuestProcess(first, 1)
            reading = asyncio.create_task(read_all(process))
            for at in range(0, WINDOW, MAX_DATA):
                await old.send(data_frame(1, STDOUT, at, bytes(MAX_DATA)))
            while process._consumed[STDOUT] < WINDOW:
                await asyncio.sleep(0.001)
            await go_on(Parted(first, ENDED), second, new, entry_of(process, 0, 0, 0))
            credited = 0
            for at in range(0, WINDOW, MAX_DATA):
                await new.send(data_frame(1, STDOUT, at, bytes(MAX_DATA)))
                if (at + MAX_DATA) % (WINDOW // 2):
                    continue
                frame = await new.receive(Type.CREDIT)
                credited = int.from_bytes(frame.payload, "little")
                assert credited <= at + MAX_DATA, "more than the agent has sent in this session"
            assert credited == WINDOW
            await new.send(data_frame(1, STDOUT, WINDOW, b"end") + exited(1, 0))
            assert await reading == bytes(WINDOW) + b"end"

    within(work())


def test_a_writer_waits_and_what_the_guest_has_not_received_is_sent_again() -> None:
    async def work() -> None:
        async with sessions() as (first, old, second, new):
            process = GuestProcess(first, 1)
            await process.write(b"heard, consumed, lost, ")
            await old.send(encode_frame(Type.CREDIT, 1, offset(6), STDIN))
            while process.stdin_consumed != 6:
                await asyncio.sleep(0.001)
            parted = Parted(first, ENDED)
            writing = asyncio.create_task(process.write(b"new"))
            await asyncio.sleep(0.01)
            assert not writing.done()
            await go_on(parted, second, new, entry_of(process, 17, 0, 0))
            await writing
            process.close_stdin()
            again, added = await new.receive(Type.DATA), await new.receive(Type.DATA)
            assert (again.payload, added.payload) == (offset(17) + b"lost, ", offset(23) + b"new")
            assert (await new.receive(Type.EOF)).payload == offset(26)

    within(work())


def test_a_writer_that_waited_for_the_socket_goes_on() -> None:
    async def work() -> None:
        async with sessions() as (first, _, second, new):
            process = GuestProcess(first, 1)
            first.pause_writing()
            writing = asyncio.create_task(process.write(b"all"))
            await asyncio.sleep(0)
            await go_on(Parted(first, ENDED), second, new, entry_of(process, 0, 0, 0))
            await writing
            assert (await new.receive(Type.DATA)).payload == offset(0) + b"all"

    within(work())


@pytest.mark.parametrize("told", ["before", "between"])
def test_the_end_of_stdin_is_told_again(told: str) -> None:
    async def work() -> None:
        async with sessions() as (first, _, second, new):
            process = GuestProcess(first, 1)
            if told == "before":
                process.close_stdin()
            parted = Parted(first, ENDED)
            if told == "between":
                process.close_stdin()
            await go_on(parted, second, new, entry_of(process, 0, 0, 0))
            assert (await new.receive(Type.EOF)).payload == offset(0)

    within(work())


def test_what_cannot_go_on_ends_alone() -> None:
    """One that the agent has forgotten, one of which it says what cannot be, and connections, which end with their
    session in the guest, too."""

    async def work() -> None:
        async with sessions() as (first, _, second, new):
            lost, impossible, fine = (GuestProcess(first, channel) for channel in (1, 3, 5))
            dialed = GuestConnection(first, 7)
            parted = Parted(first, ENDED)
            for waiting in (dialed.ended(), read_all(dialed)):
                with pytest.raises(Error) as caught:
                    await waiting
                assert caught.value.code == "agent_lost"
            known = [entry_of(impossible, 9, 0, 0), entry_of(fine, 0, 0, 0)]
            going = asyncio.create_task(parted.go_on(second, known, LIMIT_S))
            await new.answer(Type.ATTACH)
            assert await going == []
            for process, code in ((lost, "agent_lost"), (impossible, "agent_error")):
                with pytest.raises(Error) as caught:
                    await read_all(process)
                assert caught.value.code == code
            await new.send(exited(5, 0))
            assert await read_all(fine) == b""

    within(work())


def test_what_nobody_waits_for_is_left_to_the_caller_and_what_was_called_off_is_killed() -> None:
    async def work() -> None:
        async with sessions() as (first, old, second, new):
            starting = asyncio.create_task(start_process(first, CAT))
            channel = (await old.receive(Type.EXEC)).channel
            parted = Parted(first, ENDED)
            with pytest.raises(Error) as caught:
                await starting
            assert caught.value.code == "agent_lost"
            stranger = KnownExec(99, 100, True, None, [0, 0, 0], "")
            mine = KnownExec(channel, 101, True, None, [0, 0, 0], "")
            assert await parted.go_on(second, [stranger, mine], LIMIT_S) == [stranger]
            killed = Fields((await new.receive(Type.SIGNAL)).payload)
            assert (killed.int_(Tag.EXEC), killed.int_(Tag.SIGNAL)) == (channel, 9)

    within(work())


def test_what_was_let_go_between_sessions_is_let_go_in_the_guest_too() -> None:
    async def work() -> None:
        async with sessions() as (first, old, second, new):
            given_up, read = GuestProcess(first, 1), GuestProcess(first, 3)
            await old.send(exited(3, 0))
            assert await read_all(read) == b""
            parted = Parted(first, ENDED)
            given_up.abandon()
            with pytest.raises(Error):
                await read.forget()
            known = [entry_of(given_up, 0, 0, 0), entry_of(read, 0, 0, 0, running=False)]
            assert await parted.go_on(second, known, LIMIT_S) == []
            assert Fields((await new.receive(Type.SIGNAL)).payload).int_(Tag.EXEC) == 1
            assert Fields((await new.receive(Type.FORGET)).payload).int_(Tag.EXEC) == 3

    within(work())


def test_without_another_session_all_end_with_the_reason() -> None:
    async def work() -> None:
        async with open_pair() as (first, _):
            process = GuestProcess(first, 1)
            parted = Parted(first, ENDED)
            waiting: list[Coroutine[Any, Any, object]] = [read_all(process), process.write(b"x")]
            both = [asyncio.create_task(work) for work in waiting]
            await asyncio.sleep(0.01)
            assert not any(task.done() for task in both)
            parted.give_up(Error("agent_silent", "it is gone"))
            results = await asyncio.gather(*both, return_exceptions=True)
            assert [getattr(result, "code", None) for result in results] == ["agent_silent"] * 2

    within(work())


def test_a_guest_that_takes_no_input_holds_nobody_up() -> None:
    async def work() -> None:
        async with sessions() as (first, _, second, _new):
            process = GuestProcess(first, 1)
            await process.write(b"x")
            second.pause_writing()
            parted = Parted(first, ENDED)
            with pytest.raises(Error) as caught:
                await parted.go_on(second, [entry_of(process, 0, 0, 0)], 0.05)
            assert caught.value.code == "agent_silent"
            parted.give_up(caught.value)
            with pytest.raises(Error):
                await read_all(process)

    within(work())


def test_requests_have_a_moment_for_their_answers() -> None:
    async def work() -> None:
        async with open_pair() as (connection, agent):
            asking = asyncio.create_task(connection.request(Type.PING))
            request = await agent.receive(Type.PING)
            settling = asyncio.create_task(connection.settle(LIMIT_S))
            await asyncio.sleep(0)
            assert not settling.done()
            await agent.send(encode_frame(Type.OK, request.channel, b""))
            await settling
            assert asking.done() and asking.exception() is None
            asking = asyncio.create_task(connection.request(Type.PING))
            await agent.receive(Type.PING)
            await connection.settle(0.01)
            connection.part(ENDED)
            with pytest.raises(Error):
                await asking

    within(work())


def test_a_connection_that_is_being_made_ends_with_its_session() -> None:
    async def work() -> None:
        async with open_pair() as (connection, agent):
            dialing = asyncio.create_task(dial_port(connection, 80))
            await agent.receive(Type.DIAL)
            Parted(connection, ENDED)
            with pytest.raises(Error) as caught:
                await dialing
            assert caught.value.code == "agent_lost"

    within(work())
