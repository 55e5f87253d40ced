"""Verbs as methods of the asyncio client's rooms."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from banger.client.aio_transport import AsyncAnswer, Connection
from banger.client.call import Call

P = ParamSpec("P")
T = TypeVar("T")


class Carrier(Protocol):
    """The client, as far as methods need it."""

    async def connect(self) -> Connection: ...

    async def perform(self, call: Call[T]) -> T: ...

    async def open(self, call: Call[Any]) -> AsyncAnswer: ...


class Method(Generic[P, T]):
    """A call of the API as a method of a room."""

    def __init__(self, describe: Callable[P, Call[T]]) -> None:
        self._describe = describe

    def __get__(self, room: Room, owner: type[Room]) -> Callable[P, Coroutine[Any, Any, T]]:
        describe = self._describe

        @wraps(describe)
        async def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return await room.client.perform(describe(*args, **kwargs))

        return method


class Bytes(Generic[P]):
    """As `Method`, for an answer that is bytes without end."""

    def __init__(self, describe: Callable[P, Call[bytes]]) -> None:
        self._describe = describe

    def __get__(self, room: Room, owner: type[Room]) -> Callable[P, AsyncIterator[bytes]]:
        describe = self._describe

        @wraps(describe)
        async def method(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[bytes]:
            answer = await room.client.open(describe(*args, **kwargs))
            async for piece in answer.chunks():
                yield piece

        return method


class Room:
    """One noun of the API."""

    def __init__(self, client: Carrier) -> None:
        self.client = client
