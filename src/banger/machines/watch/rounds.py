"""Regular work for running machines: turn over logs, begin lost sessions again, correct clocks.

A guest's clock stops while the host sleeps, and root in a guest may set it to any time: a clock that is far off is
corrected, whatever the reason."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from banger.agent.guest_clock import FAR_OFF_S, ask_clock_off_s
from banger.errors import Error
from banger.host.background import keep_going
from banger.machines.life.live import LiveMachine
from banger.machines.life.lives import Lives
from banger.machines.life.sessions import give_up_deserted, renew_sessions
from banger.machines.watch.log_turns import turn_over_logs
from banger.model.machine import MachineState

log = logging.getLogger("banger.machines")

_ROUND_S = 10.0
# Clocks are checked in one of this many rounds, because that wakes guests.
_CLOCK_ROUNDS = 3
_CLOCK_ANSWER_S = 5.0


class Rounds:
    """Lives as long as the daemon. Wakes the daemon regularly only while a machine runs."""

    def __init__(self, lives: Lives) -> None:
        self._lives = lives
        self._going: asyncio.Task[None] | None = None
        lives.on_begin.append(self.watch)

    def watch(self, live: LiveMachine) -> None:
        if self._going is None:
            self._going = keep_going(self._go, "rounds of machines")

    def close(self) -> None:
        if self._going is not None:
            self._going.cancel()

    async def _go(self) -> None:
        rounds = 0
        while self._lives.live:
            await asyncio.sleep(_ROUND_S)
            rounds += 1
            machines = [*self._lives.live.values()]
            await _for_each(turn_over_logs, machines)
            await renew_sessions(self._lives, machines)
            if rounds % _CLOCK_ROUNDS == 0:
                await _for_each(put_clock_right, machines)
        self._going = None


async def _for_each(do: Callable[[LiveMachine], Awaitable[None]], machines: Sequence[LiveMachine]) -> None:
    """Call `do` for all machines; a failure with one machine does not prevent the others."""
    done = await asyncio.gather(*map(do, machines), return_exceptions=True)
    for live, failed in zip(machines, done, strict=True):
        if isinstance(failed, Exception):
            log.error("machine=%s %s: %s", live.machine.name, do.__name__, failed, exc_info=failed)


async def put_clock_right(live: LiveMachine) -> None:
    """Correct the clock of a machine that runs and answers. This does not count as use: an idle machine is still
    paused, and a paused machine stays paused."""
    connection = live.connection
    if connection is None or live.machine.state is not MachineState.RUNNING:
        return
    try:
        off_s = await ask_clock_off_s(connection, _CLOCK_ANSWER_S)
    except Error:
        await give_up_deserted(live)
        return
    if abs(off_s) > FAR_OFF_S:
        log.info("machine=%s its clock is corrected; it was off by %.1f s", live.machine.name, off_s)
        await live.catch_up()
