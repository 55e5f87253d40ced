"""Connections that begin in a guest: what the host takes from it, and what it gives."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from banger.client.messages import Event, Exited, Output, OutputEnded
from banger.errors import AgentError
from banger.ssh.arrival import Arrival
from banger.ssh.listener import parse_peer
from banger.ssh.listener_messages import (
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
