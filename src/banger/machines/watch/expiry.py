"""Machines with a time to live: deleted when it is over, whether they run or not. What is due while no daemon runs is
deleted when the next daemon comes.

The time is a fact of the record: it counts from when the machine was made, by the clock of the host.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import msgspec

from banger.errors import Error
from banger.host.background import in_background
from banger.machines.keep.events import tell_expired
from banger.machines.keep.registry import Registry
from banger.machines.life.lifecycle import delete
from banger.machines.life.lives import Lives
from banger.model.event import Tell
from banger.model.machine import Machine

log = logging.getLogger("banger.expiry")

# A timer does not count the time in which the host sleeps: look at the clock this often.
_LOOK_S = 300.0
_AGAIN_S = 30.0


def left_s(machine: Machine, now: datetime) -> float | None:
    """How long the machine has still to live, in seconds; None: for ever. Pure."""
    if not machine.spec.ttl_s:
        return None
    ends = datetime.fromisoformat(machine.created) + timedelta(seconds=machine.spec.ttl_s)
    return (ends - now).total_seconds()


def change_expiry(registry: Registry, machine: Machine, ttl_s: float) -> None:
    """Let the machine live for `ttl_s` seconds from now on; 0: for ever."""
    age_s = (datetime.now(UTC) - datetime.fromisoformat(machine.created)).total_seconds()
    whole_s = max(0.0, age_s) + ttl_s if ttl_s else 0.0
    registry.change(machine, spec=msgspec.structs.replace(machine.spec, ttl_s=whole_s))


class Expiry:
    """Lives as long as the daemon; used from its event loop. Has a timer for each machine with a time to live."""

    def __init__(self, lives: Lives, tell: Tell) -> None:
        self._lives = lives
        self._tell = tell
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def begin(self) -> None:
        """Call this when the machines that still run are known."""
        registry = self._lives.registry
        registry.on_add.append(self._watch)
        registry.on_change.append(self._consider)
        for machine in registry.all():
            self._watch(machine)

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def _consider(self, was: Machine, machine: Machine) -> None:
        if was.spec.ttl_s != machine.spec.ttl_s:
            self._watch(machine)

    def _watch(self, machine: Machine) -> None:
        rest_s = left_s(machine, datetime.now(UTC))
        self._wait(machine, None if rest_s is None else max(0.0, rest_s))

    def _wait(self, machine: Machine, rest_s: float | None) -> None:
        if (timer := self._timers.pop(machine.id, None)) is not None:
            timer.cancel()
        if rest_s is not None:
            loop = asyncio.get_running_loop()
            self._timers[machine.id] = loop.call_later(min(rest_s, _LOOK_S), self._look, machine)

    def _look(self, machine: Machine) -> None:
        self._timers.pop(machine.id, None)
        if not self._lives.registry.has(machine):
            return
        rest_s = left_s(machine, datetime.now(UTC))
        if rest_s is not None and rest_s <= 0:
            in_background(self._end(machine), f"the end of {machine.name}")
        else:
            self._wait(machine, rest_s)

    async def _end(self, machine: Machine) -> None:
        tell_expired(self._tell, machine)
        try:
            await delete(self._lives, machine, force=True)
        except Error as exc:
            log.warning(
                "machine=%s its time is over, but it cannot be deleted: %s", machine.name, exc.message
            )
        if self._lives.registry.has(machine):
            self._wait(machine, _AGAIN_S)
