"""What is done now and then for machines that run."""

from __future__ import annotations

import asyncio

from banger.machines.clocks import put_clocks_right
from banger.machines.live import LiveMachine
from banger.machines.log_turns import turn_over_logs
from banger.machines.parts import Parts
from banger.machines.sessions import renew_sessions

_ROUND_S = 10.0
# One round in so many looks at clocks, which wakes guests.
_CLOCK_ROUNDS = 3


class Rounds:
    """Lives as long as the daemon. While there is a machine that runs, that is what the daemon wakes up for."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._going: asyncio.Task[None] | None = None
        parts.on_live.append(self.watch)

    def watch(self, live: LiveMachine) -> None:
        if self._going is None:
            self._going = asyncio.create_task(self._go(), name="rounds of machines")

    def close(self) -> None:
        if self._going is not None:
            self._going.cancel()

    async def _go(self) -> None:
        rounds = 0
        while self._parts.live:
            await asyncio.sleep(_ROUND_S)
            rounds += 1
            machines = [*self._parts.live.values()]
            for live in machines:
                await turn_over_logs(live)
            await renew_sessions(self._parts, machines)
            if rounds % _CLOCK_ROUNDS == 0:
                await put_clocks_right(machines)
        self._going = None
