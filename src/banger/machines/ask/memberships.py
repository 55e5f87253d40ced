"""Named networks made and deleted, and machines connected to them and disconnected, also while these run.

To connect adds neighbours, and takes nothing away: the policy of the machine stays what it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from banger.errors import Error, NoSuchNetwork
from banger.host.packets import Refused
from banger.machines.keep.events import tell_membership
from banger.machines.keep.registry import Registry
from banger.machines.life.lives import Lives
from banger.machines.life.makings import Makings
from banger.machines.life.memberships import numbers_of, wanted_policy
from banger.machines.life.neighbours import Neighbours, refuse_crowd
from banger.machines.life.passage import check_network, settle_joins, tap_of, tell_relay
from banger.model.machine import Machine, MachineSpec
from banger.model.network import Member, Membership, Network
from banger.network.guards import Guards
from banger.network.keeper import Keeper
from banger.network.policy import read_network
from banger.network.relay import Relay

_MOST = 16


class Hands(NamedTuple):
    """What changes a membership."""

    lives: Lives
    makings: Makings
    neighbours: Neighbours


async def make(
    registry: Registry, guards: Guards, name: str, *, internal: bool, labels: Mapping[str, str] | None = None
) -> Network:
    """Raises `bad_name`, `bad_spec`, `name_taken`, `network_failed`."""
    if not read_network(name).network:
        raise Error(
            "bad_spec", f"{name} is a policy, and no network can have its name", "choose another name"
        )
    joined: set[int] = set()
    if not await guards.ready():
        try:
            taps = await Keeper(guards.ask_keeper).list()
        except Refused as exc:
            raise Error("network_failed", f"the keeper does not list its networks: {exc.message}") from exc
        joined = {number for tap in taps for number in tap.networks}
    return registry.networks.add(name, internal=internal, joined=joined, labels=labels or {})


def describe(registry: Registry, network: Network) -> Network:
    """A copy of the record, with the members."""
    members = [
        Member(
            machine=machine.name,
            address=machine.address,
            address_6=machine.network.address_6,
            aliases=membership.aliases,
        )
        for machine in registry.members(network.name)
        for membership in machine.spec.networks
        if membership.network == network.name
    ]
    return msgspec.structs.replace(network, members=tuple(members))


def delete(registry: Registry, network: Network) -> None:
    """Raises `in_use`."""
    if members := registry.members(network.name):
        names = " ".join(sorted(machine.name for machine in members))
        raise Error(
            "in_use",
            f"machines are on the network {network.name}: {names}",
            f"banger network disconnect {network.name} {members[0].name}",
            {"machines": names.split()},
        )
    registry.networks.remove(network)


def prune(registry: Registry, *, dry_run: bool) -> list[Network]:
    """Delete the networks without members; return them."""
    unused = [network for network in registry.networks.all() if not registry.members(network.name)]
    for network in () if dry_run else unused:
        registry.networks.remove(network)
    return unused


async def connect(hands: Hands, machine: Machine, network: Network, aliases: Sequence[str]) -> None:
    """Raises `bad_spec`, `bad_state`, `network_full`, `network_unenforceable`, `network_failed`."""
    async with hands.lives.locks[machine.id]:
        await _require_tap(hands, machine)
        registry = hands.lives.registry
        registry.networks.find(network.name)  # it may have been deleted meanwhile
        others = [each for each in machine.spec.networks if each.network != network.name]
        membership = Membership(network=network.name, aliases=tuple(dict.fromkeys(aliases)))
        spec = _with_networks(hands, machine, [*others, membership])
        check_network(spec)
        refuse_crowd(registry, msgspec.structs.replace(machine, spec=spec))
        await _change(hands, machine, spec, network.name)
    await hands.neighbours.told()


async def disconnect(hands: Hands, machine: Machine, name: str) -> None:
    """Raises `network_not_found` if the machine is not on the network; `network_failed`."""
    async with hands.lives.locks[machine.id]:
        await _require_tap(hands, machine)
        others = [each for each in machine.spec.networks if each.network != name]
        if len(others) == len(machine.spec.networks):
            raise Error(
                "network_not_found",
                f"{machine.name} is not on a network {name!r}",
                f"banger network show {name}",
            )
        spec = _with_networks(hands, machine, others)
        await _change(hands, machine, spec, name)
    await hands.neighbours.told()


def _with_networks(hands: Hands, machine: Machine, networks: list[Membership]) -> MachineSpec:
    """The spec with these networks, and with the policy that the machine has without this change."""
    spec = machine.spec
    try:
        default = hands.makings.settings.network.default
        policy = wanted_policy(hands.lives.registry.networks, spec, default)
    except NoSuchNetwork:  # the record of a network was lost
        policy = "none"
    return msgspec.structs.replace(spec, network=policy, networks=networks)


async def _change(hands: Hands, machine: Machine, spec: MachineSpec, network: str) -> None:
    """Record the change, then tell keeper and relay if the machine runs. If they cannot be told, all is as before."""
    lives = hands.lives
    if len(spec.networks) > _MOST:
        raise Error("bad_spec", f"a machine can be on at most {_MOST} networks", "banger network disconnect")
    was = machine.spec

    lives.registry.change(machine, lambda tell: tell_membership(tell, machine, network, spec), spec=spec)
    if lives.get(machine) is None:
        return
    try:
        await _carry_out(hands, machine)
    except (Error, Refused) as exc:
        lives.registry.change(machine, spec=was)
        with contextlib.suppress(Error, Refused):  # else the daemon does it when the program answers again
            await _carry_out(hands, machine)
        raise Error("network_failed", f"the networks of {machine.name} are as they were: {exc}") from exc


async def _carry_out(hands: Hands, machine: Machine) -> None:
    registry, guards = hands.lives.registry, hands.makings.guards
    key, keeper = tap_of(hands.lives.holdings.resources, machine), Keeper(guards.ask_keeper)
    joined = {number for tap in await keeper.list() if tap.key == key for number in tap.networks}
    await settle_joins(keeper, key, joined, numbers_of(registry, machine))
    await tell_relay(Relay(guards.ask_relay), registry, machine)


async def _require_tap(hands: Hands, machine: Machine) -> None:
    """Raises `network_unenforceable` or `bad_state` for a machine that runs without a tap."""
    if hands.lives.get(machine) is None or machine.network.link == "tap":
        return
    why = await hands.makings.guards.ready()
    if why:
        raise Error(
            "network_unenforceable",
            f"{machine.name} cannot be on a named network here: machines have no tap: {why}",
            "banger doctor --check network says how to get taps",
            {"option": "connect", "reason": why},
        )
    raise Error(
        "bad_state",
        f"{machine.name} cannot be connected or disconnected while it runs: it was started without a tap",
        f"banger vm stop {machine.name}; then connect it, and start it again",
        {"link": machine.network.link},
    )
