"""Verbs as methods of the blocking client's rooms."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from banger.client.call import Call
from banger.client.transport import Answer

P = ParamSpec("P")
T = TypeVar("T")


class Carrier(Protocol):
    """The client, as far as methods need it."""

    def dial(self) -> socket.socket: ...

    def open(self, call: Call[Any]) -> Answer: ...

    def perform(self, call: Call[T]) -> T: ...


class Method(Generic[P, T]):
    """A call of the API as a method of a room."""

    def __init__(self, describe: Callable[P, Call[T]]) -> None:
        self._describe = describe

    def __get__(self, room: Room, owner: type[Room]) -> Callable[P, T]:
        describe = self._describe

        @wraps(describe)
        def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return room.client.perform(describe(*args, **kwargs))

        return method


class Bytes(Generic[P]):
    """As `Method`, for an answer that is bytes without end."""

    def __init__(self, describe: Callable[P, Call[bytes]]) -> None:
        self._describe = describe

    def __get__(self, room: Room, owner: type[Room]) -> Callable[P, Iterator[bytes]]:
        describe = self._describe

        @wraps(describe)
        def method(*args: P.args, **kwargs: P.kwargs) -> Iterator[bytes]:
            return room.client.open(describe(*args, **kwargs)).chunks()

        return method


class Room:
    """One noun of the API."""

    def __init__(self, client: Carrier) -> None:
        self.client = client
