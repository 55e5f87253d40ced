"""How the asyncio client carries out a call."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from banger.client.aio_methods import Carrier
from banger.client.aio_transport import AsyncAnswer, Connection, request
from banger.client.answers import decode, encode
from banger.client.call import Call
from banger.client.exchange import plan_body
from banger.client.http1 import may_ask_again
from banger.client.patience import Patience
from banger.client.reach import Reach
from banger.client.way import way_of
from banger.errors import Error

T = TypeVar("T")


class AsyncCaller(Reach, Carrier):
    """Lives as long as its client."""

    async def connect(self) -> Connection:
        """A new connection to the daemon. A thread starts the daemon if none runs."""
        found = await asyncio.to_thread(self.dial)
        return Connection(*await asyncio.open_connection(sock=found), way_of(found))

    async def open(self, call: Call[object]) -> AsyncAnswer:
        """Send a call, and return the answer with its body still to read. A call that only reads, or has an
        idempotency key, is sent once more if the daemon ended instead of answering. Raises the error that the answer
        carries."""
        patience = Patience(self._timeout_s, call.silence_s)
        try:
            answer = await self._send(call, patience)
        except Error as exc:
            if not may_ask_again(call.method, call.key, exc):
                raise
            answer = await self._send(call, patience)
        if call.is_stream:
            answer.patience = Patience()
        return await answer.checked()

    async def _send(self, call: Call[object], patience: Patience) -> AsyncAnswer:
        body, content_type = plan_body(call, encode)
        connection = await self.connect()
        return await request(connection, call.method, call.target, body, content_type, call.key, patience)

    async def perform(self, call: Call[T]) -> T:
        """Carry out a call of `banger.client.calls`, and return its result."""
        return decode(call, await (await self.open(call)).read())
