"""What the records say of named networks: which policy a machine on them has, which numbers its tap joins, and what the
machines call one another.

Only the records decide. Names and joins are made from them whenever keeper or relay are told something. So the next
daemon does what a daemon that was killed had recorded, but not done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from banger.errors import Error
from banger.machines.keep.networks import Networks
from banger.machines.keep.registry import Registry
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.model.network import Policy

# The relay takes no more addresses of one name (native/network/names.h).
_ADDRESSES_MOST = 32
_ANSWERED = (MachineState.RUNNING, MachineState.PAUSED)

Names = Mapping[str, tuple[str, ...]]


def wanted_policy(networks: Networks, spec: MachineSpec, default: Policy) -> Policy:
    """The policy of a machine with this spec. Raises `network_not_found`, `bad_spec`."""
    names = [membership.network for membership in spec.networks]
    if len(set(names)) < len(names):
        raise Error("bad_spec", "a machine cannot be on a network twice", "give each network once")
    joined = [networks.find(name) for name in names]
    if spec.network:
        return spec.network
    if not joined:
        return default
    return "none" if all(network.internal for network in joined) else "internet"


def numbers_of(registry: Registry, machine: Machine) -> frozenset[int]:
    """The numbers of the networks that the machine's tap joins."""
    found = (registry.networks.get(membership.network) for membership in machine.spec.networks)
    return frozenset(network.number for network in found if network is not None)


def peers_of(registry: Registry, machine: Machine) -> Names:
    """The names that the machine can look up, with their addresses: those of the machines on its networks that run or
    sleep, and its own."""
    names: dict[str, list[str]] = {}
    for membership in machine.spec.networks:
        if registry.networks.get(membership.network) is None:
            continue
        for other in registry.members(membership.network):
            if other is machine or is_answered(other):
                for name in names_on(other, membership.network):
                    known = names.setdefault(name, [])
                    known += [each for each in addresses_of(other) if each not in known]
    return {name: tuple(addresses[:_ADDRESSES_MOST]) for name, addresses in names.items() if addresses}


def names_on(machine: Machine, network: str) -> Iterator[str]:
    """The names that the machine has on the network, with and without the network's."""
    for membership in machine.spec.networks:
        if membership.network == network:
            for name in dict.fromkeys((machine.name, *(alias.lower() for alias in membership.aliases))):
                yield name
                yield f"{name}.{network}"


def addresses_of(machine: Machine) -> tuple[str, ...]:
    return tuple(address for address in (machine.address, machine.network.address_6) if address)


def is_answered(machine: Machine) -> bool:
    """Whether others can look the machine up."""
    return machine.state in _ANSWERED and machine.network.link == "tap"
