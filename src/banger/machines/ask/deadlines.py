"""Time-outs of commands, seen from the host.

The guest ends a command at its time-out and reports the end. The host calls a command overdue when the guest no longer
answers, or when the guest answers but has not ended the command some time later: then waiting clients get an error. If
the guest continues, the daemon still learns how the command ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from banger.errors import Error
from banger.machines.ask.execs import RunningExec

# How much later than the time-out the guest may report the end; also the interval at which the host asks the guest.
MARGIN_S = 2.0
ANSWER_S = 2.0
# A guest that answers may have to wait for a process that cannot be killed at the moment.
PATIENCE_S = 10.0
# Output that may still arrive after the command has ended: more than guest and agent can hold.
HELD_BYTES = 4 << 20


async def watch_deadline(
    running: RunningExec,
    machine: str,
    timeout_s: float,
    stands_still: Callable[[], bool],
    answers: Callable[[], Awaitable[bool]],
    *,
    in_words: str = "",
) -> None:
    """Wait until the command has ended or is overdue. `stands_still`: whether the vCPUs, and so the guest's clock, are
    stopped; `answers`: whether the guest answers within `ANSWER_S`. Time in which a client does not take the output
    does not count as the guest's delay. `in_words` tells the limit if that is not `timeout_s`."""
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
    limit = in_words or f"{timeout_s:g} s"
    why = f"the guest {machine} {'has not ended it' if does_answer else 'does not answer'}"
    hint = f"banger vm health {machine} shows what hangs; banger vm kill {machine} kills the machine"
    running.note_overdue(Error("timeout", f"the command did not end within {limit}, and {why}", hint))
