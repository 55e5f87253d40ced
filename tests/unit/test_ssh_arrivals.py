"""Connections that begin in a guest: what the host takes from it, and what it gives."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator, Coroutine
from typing import Any, cast

import pytest

from banger.client.messages import STDOUT, Event, Exited, Output, OutputEnded
from banger.errors import AgentError, Error
from banger.ssh.arrival import Arrival
from banger.ssh.leg import Leg
from banger.ssh.listener import Listener, Take, parse_peer
from banger.ssh.listener_messages import (
    CONNECTIONS_MAX,
    CREDIT_STEP_BYTES,
    PIECE_BYTES,
    WINDOW_BYTES,
    Kind,
    Message,
    make_credit,
)

STEP = b"x" * PIECE_BYTES


class Sent:
    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.arrival = Arrival(1, ("", 0), self.messages.append, self._send)

    async def _send(self, message: Message) -> None:
        self.messages.append(message)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


async def all_of(arrival: Arrival) -> list[Event]:
    return [event async for event in arrival.events()]


class Stream:
    """A leg whose guest says what a test wants, and then nothing more."""

    def __init__(self, *said: bytes) -> None:
        self.said, self.heard, self.closed = list(said), bytearray(), asyncio.Event()

    async def hear(self) -> list[Event]:
        if self.said:
            return [Output(STDOUT, memoryview(self.said.pop(0)))]
        await self.closed.wait()
        raise Error("unreachable", "closed")

    async def events(self) -> AsyncIterator[Event]:
        while True:
            for event in await self.hear():
                yield event

    async def feed(self, data: bytes) -> None:
        self.heard += data

    def close(self) -> None:
        self.closed.set()


async def echo(arrival: Arrival) -> None:
    async for event in arrival.events():
        if isinstance(event, Output):
            await arrival.feed(bytes(event.data))
        elif isinstance(event, OutputEnded):
            arrival.end_input()


async def listen_to(*said: bytes, take: Take = echo) -> tuple[Stream, Listener]:
    """After all of it was heard."""
    stream = Stream(*said)
    listener = Listener(cast("Leg", stream), take)
    await listener.begin([])
    for _ in range(30):
        await asyncio.sleep(0)
    return stream, listener


def of(*messages: Message) -> bytes:
    return b"".join(message.encode() for message in messages)


READY, OPENED = Message(Kind.READY, 0, b"80"), Message(Kind.OPENED, 1)


def test_a_listener_hands_on_each_connection_and_stops_when_it_is_told() -> None:
    async def work() -> None:
        hi, end = Message(Kind.DATA, 1, b"hi"), Message(Kind.END, 1)
        stream, listener = await listen_to(of(READY, OPENED)[:11], of(READY, OPENED)[11:] + of(hi, end))
        assert listener.get_port() == 80
        assert bytes(stream.heard) == of(hi, end) and not stream.closed.is_set()
        listener.close()
        listener.close()
        await asyncio.sleep(0)
        assert bytes(stream.heard) == of(hi, end, Message(Kind.STOP, 0))

    run(work())


@pytest.mark.parametrize(
    "said",
    [
        of(READY),
        of(OPENED, OPENED),
        of(OPENED, Message(Kind.OPENED, 3), Message(Kind.OPENED, 2)),
        of(Message(Kind.DATA, 1, b"x")),
        of(OPENED, Message(Kind.END, 2)),
        of(*(Message(Kind.OPENED, number) for number in range(1, CONNECTIONS_MAX + 2))),
        b"\xff" * 8,
    ],
)
def test_after_what_no_listener_says_all_is_over(said: bytes) -> None:
    ended: list[Arrival] = []

    async def wait(arrival: Arrival) -> None:
        assert [type(event) async for event in arrival.events()][-1] is Exited
        ended.append(arrival)

    async def work() -> None:
        stream, listener = await listen_to(of(READY), said, take=wait)
        assert stream.closed.is_set() and listener.closed and all(one.finished for one in ended)

    run(work())


def test_a_guest_that_does_not_listen_is_told_no_more_than_so_much() -> None:
    async def refuse(arrival: Arrival) -> None:
        pass

    async def never(data: bytes) -> None:
        await asyncio.Event().wait()

    async def work() -> None:
        stream = Stream(of(READY), *(of(Message(Kind.OPENED, number)) for number in range(1, 5000)))
        stream.feed = never  # type: ignore[method-assign]
        await Listener(cast("Leg", stream), refuse).begin([])
        await stream.closed.wait()

    run(work())


def test_no_bytes_of_a_guest_harm_the_host() -> None:
    chance = random.Random(11)

    async def work() -> None:
        for _ in range(300):
            kinds = [chance.choice((2, 2, 3, 3, 4, 5, 6, 7, 9)) for _ in range(20)]
            said = b"".join(
                struct.pack("<HHI", kind, len(data), chance.choice((0, 1, 1, 2, 3))) + data
                for kind, data in ((kind, chance.randbytes(chance.choice((0, 4, 9)))) for kind in kinds)
            )
            _, listener = await listen_to(of(READY), said)
            listener.end()

    run(work())


def test_each_way_ends_by_itself_and_then_all_is_over() -> None:
    async def work() -> None:
        sent = Sent()
        sent.arrival.hear(Message(Kind.DATA, 1, b"hi"))
        sent.arrival.hear(Message(Kind.END, 1))
        await sent.arrival.feed(b"yes")
        assert not sent.arrival.finished
        sent.arrival.end_input()
        said, ended, exited = await all_of(sent.arrival)
        assert isinstance(said, Output) and bytes(said.data) == b"hi" and isinstance(ended, OutputEnded)
        assert isinstance(exited, Exited) and exited.code == 0 and sent.arrival.finished
        sent.arrival.close()
        assert sent.messages == [Message(Kind.DATA, 1, b"yes"), Message(Kind.END, 1)]

    run(work())


def test_what_was_said_before_it_broke_off_is_heard() -> None:
    async def work() -> None:
        sent = Sent()
        sent.arrival.hear(Message(Kind.DATA, 1, b"hi"))
        sent.arrival.hear(Message(Kind.BROKEN, 1))
        said, exited = await all_of(sent.arrival)
        assert isinstance(said, Output) and isinstance(exited, Exited) and exited.code == 1
        sent.arrival.end_input()
        sent.arrival.close()
        assert sent.messages == []

    run(work())


def test_no_more_is_sent_than_the_guest_takes() -> None:
    async def work() -> None:
        sent = Sent()
        feeding = asyncio.create_task(sent.arrival.feed(b"x" * (WINDOW_BYTES + 5)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sum(len(one.data) for one in sent.messages) == WINDOW_BYTES and not feeding.done()
        sent.arrival.hear(make_credit(1, 3))
        sent.arrival.hear(make_credit(1, 2))
        await feeding
        assert sum(len(one.data) for one in sent.messages) == WINDOW_BYTES + 5

    run(work())


def test_credit_is_for_what_was_taken_and_not_for_what_waits() -> None:
    async def work() -> None:
        sent = Sent()
        for _ in range(WINDOW_BYTES // PIECE_BYTES):
            sent.arrival.hear(Message(Kind.DATA, 1, STEP))
        assert sent.messages == []
        events = sent.arrival.events()
        for _ in range(2):
            await anext(events)
        assert sent.messages == [make_credit(1, CREDIT_STEP_BYTES)]

    run(work())


def test_a_close_is_told_once_and_frees_whoever_feeds() -> None:
    async def work() -> None:
        sent = Sent()
        feeding = asyncio.create_task(sent.arrival.feed(b"x" * (WINDOW_BYTES + 1)))
        await asyncio.sleep(0)
        sent.arrival.close()
        sent.arrival.close()
        await feeding
        assert (
            sent.messages[-1] == Message(Kind.BROKEN, 1) and sent.messages.count(Message(Kind.BROKEN, 1)) == 1
        )

    run(work())


@pytest.mark.parametrize(
    "heard",
    [
        [Message(Kind.DATA, 1, STEP)] * (WINDOW_BYTES // PIECE_BYTES + 1),
        [Message(Kind.END, 1), Message(Kind.DATA, 1, b"x")],
        [Message(Kind.END, 1), Message(Kind.END, 1)],
        [make_credit(1, 1)],
        [make_credit(1, 0xFFFFFFFF)],
    ],
)
def test_what_no_listener_says_is_refused(heard: list[Message]) -> None:
    async def work() -> None:
        arrival = Sent().arrival
        for message in heard[:-1]:
            arrival.hear(message)
        with pytest.raises(AgentError):
            arrival.hear(heard[-1])

    run(work())


@pytest.mark.parametrize(
    ("told", "peer"),
    [
        (b"127.0.0.1 80", ("127.0.0.1", 80)),
        (b"::1 65535", ("::1", 65535)),
        (b"", ("", 0)),
        (b"x 65536", ("", 0)),
        (b"x -1", ("", 0)),
        (b"x", ("", 0)),
        (b"\xff\xff 80", ("\ufffd\ufffd", 80)),
    ],
)
def test_who_connected_is_what_the_guest_says_if_it_can_be(told: bytes, peer: tuple[str, int]) -> None:
    assert parse_peer(told) == peer
