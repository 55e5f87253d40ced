"""How the blocking client carries out a call."""

from __future__ import annotations

from typing import TypeVar

from banger.client.answers import decode, encode
from banger.client.call import Call
from banger.client.exchange import open_answer
from banger.client.reach import Reach
from banger.client.sync_methods import Carrier
from banger.client.transport import Answer

T = TypeVar("T")


class Caller(Reach, Carrier):
    """Lives as long as its client."""

    def open(self, call: Call[object]) -> Answer:
        """Send a call, and return the answer with its body still to read. Raises the error that the answer carries."""
        return open_answer(self.dial, call, encode, self._timeout_s)

    def perform(self, call: Call[T]) -> T:
        """Carry out a call of `banger.client.calls`, and return its result."""
        return decode(call, self.open(call).read())
