"""Machines on the same named network: how many there can be, and how the relay hears of each change among them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from banger.errors import Error
from banger.host.background import in_background
from banger.host.packets import Refused, Unknown
from banger.machines.keep.registry import Registry
from banger.machines.life.lives import Lives
from banger.machines.life.memberships import (
    addresses_of,
    is_answered,
    names_on,
)
from banger.machines.life.passage import describe_to_relay, key_of, tell_relay
from banger.model.machine import Machine
from banger.network.guards import Guards
from banger.network.relay import Relay

log = logging.getLogger("banger.network")

MEMBERS_MOST = 256
# What the relay takes of one machine (native/network): bytes of a packet, names.
_PACKET_BYTES = (64 << 10) - 512
_NAMES_MOST = 1024
# `name NAME ADDRESS ADDRESS` and the end of the line, without the name.
_LINE_BYTES = len("name  10.213.255.255 fd62:616e:6765::ffff\n")

_TOLD_S = 15.0
_PAUSE_LEAST_S, _PAUSE_MOST_S = 0.1, 1.0


def refuse_crowd(registry: Registry, machine: Machine) -> None:
    """Raises `network_not_found` and `network_full` for a machine, new or changed, that one of its networks has no room
    for."""
    bytes_of: dict[str, int] = {}
    names_of: dict[str, int] = {}
    concerned = {machine.id: machine}
    for membership in machine.spec.networks:
        network = registry.networks.find(membership.network).name
        members = {other.id: other for other in registry.members(network)} | {machine.id: machine}
        if len(members) > MEMBERS_MOST:
            raise _full(network, f"{MEMBERS_MOST} machines are on it")
        concerned |= members
    networks = {each.network for one in concerned.values() for each in one.spec.networks}
    for network in networks:
        members = {other.id: other for other in registry.members(network)} | {machine.id: machine}
        names = [name for other in members.values() for name in names_on(other, network)]
        names_of[network], bytes_of[network] = len(names), sum(len(name) + _LINE_BYTES for name in names)
    for one in concerned.values():
        its_own = [each.network for each in one.spec.networks]
        bytes_ = len(describe_to_relay(one, {}).packet()) + sum(bytes_of[network] for network in its_own)
        names_ = 1 + len(one.spec.hosts) + sum(names_of[network] for network in its_own)
        if bytes_ > _PACKET_BYTES or names_ > _NAMES_MOST:
            raise _full(its_own[0], f"{one.name} could look up too many names with it")


def _full(network: str, why: str) -> Error:
    return Error(
        "network_full",
        f"the network {network} has no room for one more machine: {why}",
        "use shorter names, fewer aliases, or several networks",
        {"network": network},
    )


def _is_seen_as(machine: Machine) -> object:
    """All by which others know the machine, or by which it knows others; None if it is on no network."""
    if not machine.spec.networks:
        return None
    return machine.name, machine.spec.networks, is_answered(machine) and addresses_of(machine)


class Neighbours:
    """Tells the relay about each machine on a network again when another one comes, goes or changes there. Lives as
    long as the daemon; used from its event loop."""

    def __init__(self, lives: Lives, guards: Guards) -> None:
        self._lives = lives
        self._guards = guards
        self._stale: dict[str, Machine] = {}
        self._telling: asyncio.Task[None] | None = None
        self._next_round = 0.0
        lives.registry.on_change.append(self._hear)

    async def told(self) -> None:
        """Wait until all are told what has changed so far; not for ever, since a program may be gone."""
        if self._telling is not None:
            await asyncio.wait([self._telling], timeout=_TOLD_S)

    def _hear(self, was: Machine, machine: Machine) -> None:
        if _is_seen_as(was) == _is_seen_as(machine):
            return
        networks = {each.network for one in (was, machine) for each in one.spec.networks}
        members = (member for network in networks for member in self._lives.registry.members(network))
        self._note([machine, *members])

    def _note(self, machines: Iterable[Machine]) -> None:
        self._stale |= {machine.id: machine for machine in machines}
        if self._telling is None:
            self._telling = in_background(self._tell_stale(), "names of neighbours")

    async def _tell_stale(self) -> None:
        """In rounds, with a pause before each that follows soon: when many machines start within a short time, each
        hears of many others in one packet."""
        clock = asyncio.get_running_loop().time
        try:
            while self._stale:
                await asyncio.sleep(self._next_round - clock())
                begun = clock()
                await self._tell_all_stale()
                self._next_round = clock() + min(max(clock() - begun, _PAUSE_LEAST_S), _PAUSE_MOST_S)
        finally:
            self._telling = None

    async def _tell_all_stale(self) -> None:
        for machine in tuple(self._stale.values()):
            self._stale.pop(machine.id, None)  # what it is told now has also what changed meanwhile
            try:
                await self._tell(machine)
            except (Error, Refused) as exc:
                log.warning("machine=%s the relay does not hear of its network: %s", machine.name, exc)

    async def _tell(self, machine: Machine) -> None:
        await tell_while_it_runs(self._lives, Relay(self._guards.ask_relay), machine)


async def tell_while_it_runs(lives: Lives, relay: Relay, machine: Machine) -> bool:
    """Tell the relay about the machine if it runs, and has a tap. Returns whether it runs still. Otherwise the relay
    forgets the machine again, which may have ended, and been forgotten, before the relay heard this. Raises what the
    relay raises."""
    live = lives.get(machine)
    if live is None or live.gone.is_set() or machine.network.link != "tap":
        return False
    try:
        await tell_relay(relay, lives.registry, machine)
    finally:
        runs = lives.get(machine) is live and not live.gone.is_set()
        if not runs:
            with contextlib.suppress(Unknown):
                await relay.forget(key_of(machine))
    return runs
