"""What goes to a guest's process: its window is kept, whoever writes; a start that is given up is called off."""

from __future__ import annotations

import asyncio
import signal

import pytest

from banger.agent.process import GuestProcess, start_process
from banger.errors import Error
from banger.model.command import Command
from banger.wire.constants import MAX_DATA, STDIN, WINDOW, Tag, Type
from banger.wire.fields import Fields, encode_fields
from banger.wire.frames import encode_frame
from tests.support.agent_pair import open_pair

CAT = Command(argv=["cat"], stdin=True)


def test_two_writers_together_keep_the_window_also_after_a_wait_for_the_socket() -> None:
    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            process = GuestProcess(connection, 1)
            connection.pause_writing()
            writing = [asyncio.create_task(process.write(bytes(WINDOW))) for _ in range(2)]
            await asyncio.sleep(0)
            connection.resume_writing()
            received = 0
            while received < 2 * WINDOW:
                while received % WINDOW or not received:
                    frame = await asyncio.wait_for(stranger.receive(Type.DATA), 30)
                    assert frame.payload[:8] == received.to_bytes(8, "little")
                    received += len(frame.payload) - 8
                assert not all(task.done() for task in writing) or received == 2 * WINDOW
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(stranger.receive(Type.DATA), 0.05)
                credit = received.to_bytes(8, "little")
                await stranger.send(encode_frame(Type.CREDIT, 1, credit, STDIN))
                if received < 2 * WINDOW:
                    frame = await asyncio.wait_for(stranger.receive(Type.DATA), 30)
                    received += len(frame.payload) - 8
            await asyncio.gather(*writing)

    asyncio.run(scenario())


def test_nothing_follows_the_end_of_stdin_that_another_writer_told() -> None:
    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            process = GuestProcess(connection, 1)
            connection.pause_writing()
            writing = asyncio.create_task(process.write(bytes(MAX_DATA)))
            await asyncio.sleep(0)
            process.close_stdin()
            connection.resume_writing()
            await asyncio.wait_for(writing, 30)
            assert (await stranger.receive(Type.EOF)).payload == bytes(8)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stranger.receive(Type.DATA), 0.05)

    asyncio.run(scenario())


def test_a_start_that_is_not_answered_is_called_off() -> None:
    """The guest may have stood still, and begin with it later."""

    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            with pytest.raises(Error) as caught:
                await start_process(connection, CAT, timeout_s=0.01)
            assert caught.value.code == "agent_silent"
            asked = await asyncio.wait_for(stranger.receive(Type.EXEC), 30)
            called_off = await asyncio.wait_for(stranger.receive(Type.SIGNAL), 30)
            fields = Fields(called_off.payload)
            assert fields.int_(Tag.EXEC) == asked.channel
            assert (fields.int_(Tag.SIGNAL), fields.int_(Tag.SESSION)) == (signal.SIGKILL, 1)

    asyncio.run(scenario())


def test_a_start_that_the_agent_refuses_needs_no_calling_off() -> None:
    """Its number may be that of another command."""

    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            starting = asyncio.create_task(start_process(connection, CAT))
            asked = await stranger.receive(Type.EXEC)
            refusal = encode_fields([(Tag.CODE, "busy"), (Tag.MESSAGE, "the channel is in use")])
            await stranger.send(encode_frame(Type.FAIL, asked.channel, refusal))
            with pytest.raises(Error):
                await starting
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stranger.receive(Type.SIGNAL), 0.05)

    asyncio.run(scenario())
