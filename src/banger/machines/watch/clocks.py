"""Guests' clocks. One stands still while the host sleeps, and who is root in a guest may set it to anything: what is
far off is put right, whatever the reason."""

from __future__ import annotations

import logging

from banger.agent.guest_clock import FAR_OFF_S, ask_clock_off_s
from banger.errors import Error
from banger.machines.life.live import LiveMachine
from banger.machines.life.sessions import give_up_deserted
from banger.model.machine import MachineState

log = logging.getLogger("banger.machines")

_ANSWER_S = 5.0


async def put_clock_right(live: LiveMachine) -> None:
    """Of one that runs and answers. It is no use of a machine: one that nobody uses is paused nevertheless, and one
    that is paused stays so."""
    connection = live.connection
    if connection is None or live.machine.state is not MachineState.RUNNING:
        return
    try:
        off_s = await ask_clock_off_s(connection, _ANSWER_S)
    except Error:
        await give_up_deserted(live)
        return
    if abs(off_s) > FAR_OFF_S:
        log.info("machine=%s its clock is corrected; it was off by %.1f s", live.machine.name, off_s)
        await live.catch_up()
