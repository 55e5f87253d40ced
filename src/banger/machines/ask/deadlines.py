"""Time-outs of commands, seen from the host.

The guest ends a command at its time-out, and says so. The host says that a command is overdue when the guest does not
answer any more, or answers and has not ended the command some time later: those who wait for the command wait no
longer. What becomes of it is heard later, if the guest goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from banger.errors import Error
from banger.machines.ask.execs import RunningExec

# How much later than the time-out the guest may say that the command has ended; and as often it is asked.
MARGIN_S = 2.0
ANSWER_S = 2.0
# A guest that answers may have to wait for a process that cannot be killed just now.
PATIENCE_S = 10.0
# Output that may still come of a command that has ended: more than guest and agent hold.
HELD_BYTES = 4 << 20


async def watch_deadline(
    running: RunningExec,
    machine: str,
    timeout_s: float,
    stands_still: Callable[[], bool],
    answers: Callable[[], Awaitable[bool]],
) -> None:
    """Until the command has ended or is overdue. `stands_still`: whether the vCPUs do, and the guest's clock with them;
    `answers`: whether the guest does, within `ANSWER_S`. Output that a client has not taken yet is no delay of the
    guest's."""
    await asyncio.wait([running.done], timeout=timeout_s + MARGIN_S)
    late_s, received = 0.0, running.received_bytes

    def is_guests_turn() -> bool:
        return running.waits_for_guest or running.received_bytes - received > HELD_BYTES

    does_answer = True
    while not running.done.done():
        if not stands_still() and is_guests_turn():
            does_answer = await answers()
            late_s += MARGIN_S
            if not stands_still() and is_guests_turn() and (not does_answer or late_s > PATIENCE_S):
                break
        await asyncio.wait([running.done], timeout=MARGIN_S)
    if running.done.done():
        return
    why = f"the guest {machine} {'has not ended it' if does_answer else 'does not answer'}"
    hint = f"banger vm health {machine} shows what hangs; banger vm kill {machine} kills the machine"
    running.note_overdue(Error("timeout", f"the command did not end within {timeout_s:g} s, and {why}", hint))
