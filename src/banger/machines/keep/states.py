"""The life of a machine, as data.

created ── start ──▶ starting ── booted ──▶ running ◀── pause/resume ──▶ paused
                        │                      │                            │
                      failed              stop, exited                 stop, exited
                        ▼                      ▼                            │
                     failed                stopping ──── exited ──▶ stopped ◀┘

`found` leads from each state at rest to running: for a VMM that the store does not know, because a user put back an
older store.
"""

from __future__ import annotations

from typing import Literal

from banger.errors import Error
from banger.model.machine import Machine, MachineState

S = MachineState
Verb = Literal["start", "booted", "fail", "pause", "resume", "stop", "exited", "delete", "found"]

EDGES: dict[tuple[MachineState, Verb], MachineState] = {
    (S.CREATED, "start"): S.STARTING,
    (S.STOPPED, "start"): S.STARTING,
    (S.FAILED, "start"): S.STARTING,
    (S.STARTING, "booted"): S.RUNNING,
    (S.STARTING, "fail"): S.FAILED,
    (S.STARTING, "stop"): S.STOPPING,
    (S.RUNNING, "pause"): S.PAUSED,
    (S.PAUSED, "resume"): S.RUNNING,
    (S.RUNNING, "stop"): S.STOPPING,
    (S.PAUSED, "stop"): S.STOPPING,
    (S.RUNNING, "exited"): S.STOPPED,
    (S.PAUSED, "exited"): S.STOPPED,
    (S.STOPPING, "exited"): S.STOPPED,
    (S.STARTING, "exited"): S.STOPPED,
    (S.CREATED, "found"): S.RUNNING,
    (S.STOPPED, "found"): S.RUNNING,
    (S.FAILED, "found"): S.RUNNING,
    (S.CREATED, "delete"): S.DELETING,
    (S.STOPPED, "delete"): S.DELETING,
    (S.FAILED, "delete"): S.DELETING,
    (S.DELETING, "delete"): S.DELETING,
}

# States in which a VMM process may exist.
LIVE = frozenset({S.STARTING, S.RUNNING, S.PAUSED, S.STOPPING})


def advance(machine: Machine, verb: Verb) -> MachineState:
    """The state that `verb` leads to. Raises `bad_state`, with the state, the verb, and the verbs that are allowed."""
    try:
        return EDGES[machine.state, verb]
    except KeyError:
        raise wrong_state(machine, verb) from None


def wrong_state(machine: Machine, verb: str) -> Error:
    allowed = sorted(
        v for state, v in EDGES if state is machine.state and v not in ("booted", "fail", "exited", "found")
    )
    state = machine.state.value
    return Error(
        "bad_state",
        f"machine {machine.name!r} is {state}: it cannot {verb} now",
        f"possible now: {', '.join(allowed)}" if allowed else "wait until the machine has another state",
        {"state": state, "verb": verb, "allowed": allowed},
    )
