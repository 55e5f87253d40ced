"""What the rooms and machines of the blocking client are made of."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from banger.client.call import Call
from banger.client.stream import Stream, begin_stream
from banger.client.transport import Answer

T = TypeVar("T")


class Carrier(Protocol):
    """The client, as far as methods need it."""

    def dial(self) -> socket.socket: ...

    def open(self, call: Call[Any]) -> Answer: ...

    def perform(self, call: Call[T]) -> T: ...


class Room:
    """One noun of the API."""

    def __init__(self, client: Carrier) -> None:
        self.client = client


def begin(client: Carrier, target: str, first: bytes) -> Stream:
    """A stream at `target`, with its first message."""
    return begin_stream(client.dial, target, first)


def consume(answer: Answer, take: Callable[[Iterator[bytes]], T]) -> T:
    """Let `take` have the pieces of the answer; only asyncio needs a thread for it. Closes the answer, also if `take`
    wants no more of it."""
    with answer:
        return take(answer.chunks())


def pause(seconds: float) -> None:
    time.sleep(seconds)


def entered(method: T) -> T:
    """For methods that return a context manager; only asyncio has to wait for it first."""
    return method
