"""What the rooms of the blocking client are made of."""

from __future__ import annotations

import socket
from typing import Any, Protocol, TypeVar

from banger.client.call import Call
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
