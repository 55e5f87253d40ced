"""What the rooms of the asyncio client are made of."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from banger.client.aio_transport import AsyncAnswer, Connection
from banger.client.call import Call

T = TypeVar("T")


class Carrier(Protocol):
    """The client, as far as methods need it."""

    async def connect(self) -> Connection: ...

    async def perform(self, call: Call[T]) -> T: ...

    async def open(self, call: Call[Any]) -> AsyncAnswer: ...


class Room:
    """One noun of the API."""

    def __init__(self, client: Carrier) -> None:
        self.client = client
