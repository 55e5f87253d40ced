"""Connections to ports of a guest through its agent, whose other end a test plays."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from struct import pack, unpack
from typing import cast

import pytest

from banger.agent.connection import AgentConnection
from banger.agent.dialing import GuestConnection, dial_port
from banger.agent.process import Output
from banger.errors import Error
from banger.machines.ask.attachments import Attachment, Exited, Failed, OutputEnded, Started
from banger.machines.ask.connections import carried, carry
from banger.model.command import Exit
from banger.wire.constants import STDIN, STDOUT, WINDOW, Tag, Type
from banger.wire.fields import Fields, encode_fields
from banger.wire.frames import encode_frame
from tests.support.agent_pair import Stranger, data_frame, open_pair

PATIENCE_S = 30


async def dial(connection: AgentConnection, stranger: Stranger) -> GuestConnection:
    dialing = asyncio.create_task(dial_port(connection, 80))
    await stranger.answer(Type.DIAL)
    return await dialing


def end_of(channel: int, offset: int) -> bytes:
    return encode_frame(Type.EOF, channel, pack("<Q", offset), STDOUT)


def exit_of(channel: int, code: int) -> bytes:
    return encode_frame(Type.EXIT, channel, encode_fields([(Tag.EXIT_CODE, code)]))


async def hears_reset(client: socket.socket) -> bool:
    try:
        while await asyncio.get_running_loop().sock_recv(client, 1000):
            pass
    except ConnectionResetError:
        return True
    return False


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    far.setblocking(False)
    return near, far


async def carry_whole(guest: GuestConnection, near: socket.socket) -> None:
    with carried(near):
        await carry(guest, near)


def test_each_direction_ends_by_itself() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with open_pair() as (connection, stranger):
            guest = await dial(connection, stranger)
            near, far = tcp_pair()
            carrying = asyncio.create_task(carry_whole(guest, near))
            await stranger.send(data_frame(guest.channel, STDOUT, 0, b"hello") + end_of(guest.channel, 5))
            assert await loop.sock_recv(far, 100) == b"hello"
            assert await loop.sock_recv(far, 100) == b""
            await loop.sock_sendall(far, b"and you")
            assert (await stranger.receive(Type.DATA)).payload[8:] == b"and you"
            far.shutdown(socket.SHUT_WR)
            said = await stranger.receive(Type.EOF)
            assert (said.payload, said.flags) == (pack("<Q", 7), STDIN)
            await stranger.send(exit_of(guest.channel, 0))
            await asyncio.wait_for(carrying, PATIENCE_S)
            far.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("said", [b"", b"half of it"])
def test_a_service_that_breaks_off_resets_the_client(said: bytes) -> None:
    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            guest = await dial(connection, stranger)
            near, far = tcp_pair()
            carrying = asyncio.create_task(carry_whole(guest, near))
            if said:
                await stranger.send(data_frame(guest.channel, STDOUT, 0, said))
            await stranger.send(exit_of(guest.channel, 1))
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(carrying, PATIENCE_S)
            assert await hears_reset(far)
            far.close()

    asyncio.run(scenario())


def test_a_client_that_breaks_off_and_a_lost_agent_end_the_other_side() -> None:
    async def scenario() -> None:
        for ends in ("client", "agent"):
            async with open_pair() as (connection, stranger):
                guest = await dial(connection, stranger)
                near, far = tcp_pair()
                carrying = asyncio.create_task(carry_whole(guest, near))
                await asyncio.sleep(0)
                if ends == "client":
                    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
                    far.close()
                    with pytest.raises(ConnectionResetError):
                        await asyncio.wait_for(carrying, PATIENCE_S)
                    guest.close()
                    forgotten = Fields((await stranger.receive(Type.FORGET)).payload)
                    assert forgotten.int_(Tag.EXEC) == guest.channel
                else:
                    stranger.hang_up()
                    with pytest.raises(Error) as lost:
                        await asyncio.wait_for(carrying, PATIENCE_S)
                    assert lost.value.code == "agent_lost"
                    assert await hears_reset(far)
                    far.close()

    asyncio.run(scenario())


def test_a_client_that_does_not_read_holds_up_its_service_and_nobody_else() -> None:
    """The agent gets no credit for what nobody took, and another channel goes on."""

    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            slow, other = await dial(connection, stranger), await dial(connection, stranger)
            near, far = tcp_pair()
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            carrying = asyncio.create_task(carry_whole(slow, near))
            for at in range(0, WINDOW, 65536):
                await stranger.send(data_frame(slow.channel, STDOUT, at, bytes(65536)))
            await stranger.send(data_frame(other.channel, STDOUT, 0, b"quick"))
            outputs = other.outputs()
            assert (await asyncio.wait_for(anext(outputs), PATIENCE_S)).data == b"quick"
            credited = 0
            with contextlib.suppress(TimeoutError):
                while True:
                    credit = await asyncio.wait_for(stranger.receive(Type.CREDIT), 0.2)
                    (credited,) = unpack("<Q", credit.payload)
            assert credited < WINDOW
            carrying.cancel()
            await asyncio.wait([carrying])
            far.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("agent_says", "code"),
    [("refused", "port_refused"), ("unknown_verb", "unsupported"), ("busy", "agent_error")],
)
def test_a_refusal_has_a_name(agent_says: str, code: str) -> None:
    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            dialing = asyncio.create_task(dial_port(connection, 80))
            request = await stranger.receive(Type.DIAL)
            assert Fields(request.payload).int_(Tag.DIAL_PORT) == 80
            fields = encode_fields([(Tag.CODE, agent_says), (Tag.MESSAGE, "no")])
            await stranger.send(encode_frame(Type.FAIL, request.channel, fields))
            with pytest.raises(Error) as refused:
                await dialing
            assert refused.value.code == code

    asyncio.run(scenario())


def test_a_dial_that_is_given_up_is_forgotten_by_the_agent() -> None:
    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            dialing = asyncio.create_task(dial_port(connection, 80))
            request = await stranger.receive(Type.DIAL)
            dialing.cancel()
            forgotten = Fields((await stranger.receive(Type.FORGET)).payload)
            assert forgotten.int_(Tag.EXEC) == request.channel

    asyncio.run(scenario())


def conversation(guest: GuestConnection) -> Attachment:
    async def life(attachment: Attachment) -> Exited:
        await attachment.say(Started(0, 0))
        return Exited(await attachment.converse(guest), {})

    return Attachment(life)


def test_a_tunnels_client_hears_each_end_in_its_turn() -> None:
    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            guest = await dial(connection, stranger)
            attachment = conversation(guest)
            said = attachment.said()
            assert await anext(said) == Started(0, 0)
            await stranger.send(data_frame(guest.channel, STDOUT, 0, b"hello") + end_of(guest.channel, 5))
            assert cast(Output, await anext(said)).data == b"hello"
            assert await anext(said) == OutputEnded()
            attachment.write(b"and you")
            assert (await stranger.receive(Type.DATA)).payload[8:] == b"and you"
            attachment.close_stdin()
            await stranger.receive(Type.EOF)
            await stranger.send(exit_of(guest.channel, 0))
            rest = [one async for one in said]
            assert rest[-1] == Exited(Exit(code=0), {})

    asyncio.run(scenario())


@pytest.mark.parametrize("ends", ["service", "client", "agent"])
def test_a_tunnel_that_breaks_off_says_so(ends: str) -> None:
    async def scenario() -> None:
        async with open_pair() as (connection, stranger):
            guest = await dial(connection, stranger)
            attachment = conversation(guest)
            said = attachment.said()
            assert await anext(said) == Started(0, 0)
            if ends == "service":
                await stranger.send(exit_of(guest.channel, 1))
            elif ends == "client":
                attachment.leave()
            else:
                stranger.hang_up()
            rest = [one async for one in said]
            await attachment.aclose()
            if ends == "service":
                assert rest == [Exited(Exit(code=1), {})]
            elif ends == "client":
                assert rest == []
            else:
                (failed,) = rest
                assert isinstance(failed, Failed) and failed.error.code == "agent_lost"

    asyncio.run(scenario())
