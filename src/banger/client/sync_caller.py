"""How the blocking client reaches its daemon, and carries out a call."""

from __future__ import annotations

import socket
from typing import TypeVar

from banger.client.answers import decode, encode
from banger.client.call import Call
from banger.client.exchange import open_answer
from banger.client.start import reach
from banger.client.sync_methods import Carrier
from banger.client.transport import Answer
from banger.client.way import Way, choose_way

T = TypeVar("T")


class Caller(Carrier):
    """Lives as long as its client; `Client` says what its arguments mean. Holds no connection."""

    def __init__(
        self,
        socket_path: str,
        start: bool,
        timeout_s: float | None,
        host: str | Way,
        token: str,
        ca_file: str,
    ) -> None:
        self.socket_path, self._way = choose_way(socket_path, host, token, ca_file)
        self._start = start
        self._timeout_s = timeout_s

    def dial(self) -> socket.socket:
        """A new connection to the daemon."""
        return reach(self.socket_path, self._way, self._start)

    def open(self, call: Call[object]) -> Answer:
        """Send a call, and return the answer with its body still to read. Raises the error that the answer carries."""
        return open_answer(self.dial, call, encode, self._timeout_s)

    def perform(self, call: Call[T]) -> T:
        """Carry out a call of `banger.client.calls`, and return its result."""
        return decode(call, self.open(call).read())
