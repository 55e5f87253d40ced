"""A guest's clock, as its agent tells it."""

from __future__ import annotations

import time

from banger.agent.connection import AgentConnection
from banger.wire.constants import Tag, Type
from banger.wire.fields import Fields

# What keeps the time in a guest, say NTP, keeps it better than this: it is never interfered with.
FAR_OFF_S = 2.0


async def ask_clock_off_s(connection: AgentConnection, limit_s: float) -> float:
    """How far it certainly is ahead; behind, when that is negative. Raises what a request raises."""
    asked_ns = time.time_ns()
    answer = await connection.request(Type.PING, timeout_s=limit_s)
    return read_clock_off_s(answer, asked_ns, time.time_ns())


def read_clock_off_s(answer: Fields, asked_ns: int, answered_ns: int) -> float:
    """It was read at some moment between the two, so within that it is right. An agent that tells nothing is, too."""
    clock_ns = answer.int_(Tag.CLOCK_NS)
    if not clock_ns or asked_ns <= clock_ns <= answered_ns:
        return 0.0
    return (clock_ns - (asked_ns if clock_ns < asked_ns else answered_ns)) / 1e9
