"""A guest's clock, as its agent reports it."""

from __future__ import annotations

import time

from banger.agent.connection import AgentConnection
from banger.wire.constants import Tag, Type
from banger.wire.fields import Fields

# A guest that keeps its time itself, with NTP for example, is closer than this, and is left alone.
FAR_OFF_S = 2.0


async def ask_clock_off_s(connection: AgentConnection, limit_s: float) -> float:
    """How many seconds the clock is ahead, at least; negative if it is behind. Raises as a request does."""
    asked_ns = time.time_ns()
    answer = await connection.request(Type.PING, timeout_s=limit_s)
    return read_clock_off_s(answer, asked_ns, time.time_ns())


def read_clock_off_s(answer: Fields, asked_ns: int, answered_ns: int) -> float:
    """As `ask_clock_off_s`. The agent read the clock at some moment between the two times: a clock between them counts
    as right, and so does an agent that reports no clock."""
    clock_ns = answer.int_(Tag.CLOCK_NS)
    if not clock_ns or asked_ns <= clock_ns <= answered_ns:
        return 0.0
    return (clock_ns - (asked_ns if clock_ns < asked_ns else answered_ns)) / 1e9
