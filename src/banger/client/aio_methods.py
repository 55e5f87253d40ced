"""What the rooms and machines of the asyncio client are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager
from functools import wraps
from types import TracebackType
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from banger.client.aio_stream import AsyncStream, open_stream
from banger.client.aio_transport import AsyncAnswer, Connection
from banger.client.call import Call

P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V", bound=AbstractAsyncContextManager[Any])


class Carrier(Protocol):
    """The client, as far as methods need it."""

    async def connect(self) -> Connection: ...

    async def perform(self, call: Call[T]) -> T: ...

    async def open(self, call: Call[Any]) -> AsyncAnswer: ...


class Room:
    """One noun of the API."""

    def __init__(self, client: Carrier) -> None:
        self.client = client


async def begin(client: Carrier, target: str, first: bytes) -> AsyncStream:
    """A stream at `target`, with its first message."""
    return await open_stream(await client.connect(), target, first)


async def consume(answer: AsyncAnswer, take: Callable[[Iterator[bytes]], T]) -> T:
    """Let `take`, which may wait for files of this host, have the pieces of the answer in a thread. Closes the answer,
    also if `take` wants no more of it."""
    loop, pieces = asyncio.get_running_loop(), answer.chunks()

    async def following() -> bytes | None:
        return await anext(pieces, None)

    def each() -> Iterator[bytes]:
        while (piece := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not None:
            yield piece

    try:
        return await asyncio.to_thread(take, each())
    finally:
        answer.close()


async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


class Entered(Generic[V]):
    """What a method will return: `await` it, or use it in an `async with` at once."""

    def __init__(self, begun: Coroutine[Any, Any, V]) -> None:
        self._begun = begun
        self._thing: V | None = None

    def __await__(self) -> Generator[Any, Any, V]:
        return self._begun.__await__()

    async def __aenter__(self) -> V:
        self._thing = await self._begun
        await self._thing.__aenter__()
        return self._thing

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thing is not None:
            await self._thing.__aexit__(kind, error, trace)


def entered(method: Callable[P, Coroutine[Any, Any, V]]) -> Callable[P, Entered[V]]:
    """For methods that return a context manager."""

    @wraps(method)
    def begin_method(*args: P.args, **kwargs: P.kwargs) -> Entered[V]:
        return Entered(method(*args, **kwargs))

    return begin_method
