"""A machine's way to the network: which link and policy it gets on this host, and what keeper and relay are told of it
before its guest may send.

A guest on a tap whose address is not bound reaches nothing; the relay denies everything to a guest that it does not
know. So a failure at any step leaves the guest with less than its policy, never with more.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Set
from typing import NamedTuple

import msgspec

from banger.errors import Error
from banger.guests.links import link_of_kind
from banger.host.packets import Refused
from banger.machines.keep.networks import Networks
from banger.machines.keep.registry import Registry
from banger.machines.life.makings import Makings
from banger.machines.life.memberships import Names, numbers_of, peers_of, wanted_policy
from banger.model.ending import PauseCause
from banger.model.machine import Machine, MachineSpec
from banger.model.network import LinkKind, MachineNetwork, Policy
from banger.network import policy
from banger.network.addresses import address_6_of, choose_address, is_guest, prepare_tap_network
from banger.network.guards import Guards
from banger.network.keeper import Keeper
from banger.network.ports import read_ports
from banger.network.relay import MachineTold, Relay
from banger.network.user_nat import GuestNetwork, prepare_user_nat, reaches_ipv6
from banger.resources import kinds
from banger.store.resources import Identity, ResourceTable
from banger.vmm.base import Driver
from banger.vmm.link import LINKS, Link, Tap, kind_of

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_ALIAS = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
_NAME_MOST = 253


class Passage(NamedTuple):
    """The link of a new VM, the policy that is enforced, and what the user should know about it."""

    link: Link
    policy: Policy
    warnings: tuple[str, ...] = ()

    def describe(self, network: GuestNetwork) -> MachineNetwork:
        kind = kind_of(self.link)
        address_6 = address_6_of(network.host_address) if kind == "tap" else ""
        return MachineNetwork(link=kind, policy=self.policy, address_6=address_6)


async def prepare_passage(
    makings: Makings, networks: Networks, driver: Driver, spec: MachineSpec, frozen: LinkKind = ""
) -> Passage:
    """What the machine gets. A machine that continues where it was `frozen` needs a link of the same kind. Raises
    `network_unenforceable` if the user asked for something that this host cannot enforce, `snapshot_incompatible`,
    `network_not_found`, and `bad_spec`: the spec of a snapshot was not checked before."""
    check_network(spec)
    wanted = wanted_policy(networks, spec, makings.settings.network.default)
    why = "the driver has none" if Tap not in driver.capabilities.links else await makings.guards.ready()
    reaches_nothing = wanted == "none" and not spec.networks and not spec.allow
    if reaches_nothing and (why or frozen != "tap"):
        refuse_without_network(spec)
        return _with_frozen_kind(Passage(link_of_kind("none"), wanted), frozen)
    if not why and (frozen != "nat" or wanted != "host" or spec.networks):
        return _with_frozen_kind(Passage(link_of_kind("tap"), wanted), frozen)
    why = why or "it was frozen without one"
    asked = _asked_of_the_network(spec)
    if asked:
        raise Error(
            "network_unenforceable",
            f"{asked} cannot be enforced here: machines have no tap: {why}",
            "banger doctor --check network says how to get taps; --network host and --network none need none",
            {"option": asked, "reason": why},
        )
    kind: LinkKind = "nat" if LINKS["nat"] in driver.capabilities.links else "none"
    warned = wanted != "host" and kind == "nat"
    warning = f"it can reach all that this host can reach, also the host itself: no tap: {why}"
    passage = Passage(link_of_kind(kind), "host" if kind == "nat" else "none", (warning,) if warned else ())
    return _with_frozen_kind(passage, frozen)


def _with_frozen_kind(passage: Passage, frozen: LinkKind) -> Passage:
    kind = kind_of(passage.link)
    if frozen not in ("", kind):
        raise Error(
            "snapshot_incompatible",
            f"it was frozen with a network link of kind {frozen}, and would get one of kind {kind}",
            "use the --network that it had, or boot the machine instead",
        )
    return passage


def _asked_of_the_network(spec: MachineSpec) -> str:
    """The option by which the user asked for more than a VMM's own address translation; empty if none."""
    if spec.network in ("internet", "lan"):
        return f"--network {spec.network}"
    if spec.networks:
        return f"--network {spec.networks[0].network}"
    given = {
        "--allow": spec.allow,
        "--deny": spec.deny,
        "--dns": spec.dns,
        "--add-host": spec.hosts,
        "--publish": spec.ports,
        "--publish-all": spec.publish_all,
    }
    return next((option for option, value in given.items() if value), "")


def refuse_without_network(spec: MachineSpec) -> None:
    """Raises `bad_spec` for options that make no sense for a machine without a network."""
    asked = _asked_of_the_network(spec)
    if asked:
        raise Error(
            "bad_spec", f"{asked} needs a network, and this machine has none", "choose another --network"
        )


def check_network(spec: MachineSpec) -> None:
    """Raises `bad_spec` for options of the network that mean nothing."""
    for server in spec.dns:
        _check_address(server, "--dns")
    for host in spec.hosts:
        name, _, address = host.partition(":")
        if not _NAME.fullmatch(name):
            raise Error(
                "bad_spec", f"--add-host {host!r} does not begin with a name", "write it like db:192.0.2.7"
            )
        _check_address(address, "--add-host")
    if spec.hostname and not _NAME.fullmatch(spec.hostname):
        raise Error("bad_spec", f"{spec.hostname!r} is not a host name", "use letters, digits and '-'")
    for membership in spec.networks:
        for alias in membership.aliases:
            if not _ALIAS.fullmatch(alias) or len(f"{alias}.{membership.network}") > _NAME_MOST:
                raise Error(
                    "bad_spec",
                    f"{alias!r} cannot be a name on the network {membership.network}",
                    "use letters, digits, '-', '_' and '.'",
                )
    policy.read_policy(spec.allow, spec.deny)
    read_ports(spec.ports)


def without_reach(spec: MachineSpec) -> MachineSpec:
    """The spec of a snapshot that came from elsewhere: without all by which a stranger would open this host, its
    network, its directories or its secrets to the guest. What closes stays."""
    return msgspec.structs.replace(
        spec,
        network="none" if spec.network == "none" else "",
        networks=[],
        mounts=[],
        volumes=[],
        allow=[],
        dns=[],
        hosts=[],
        ports=[],
        publish_all=False,
        secrets=[],
        labels={},
    )


def _check_address(text: str, option: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError as exc:
        raise Error(
            "bad_spec", f"{option}: {text!r} is not an address", "use an IPv4 or IPv6 address"
        ) from exc


def link_in_use(known: LinkKind, spec: MachineSpec) -> LinkKind:
    """The kind of link of a machine that runs or was frozen. A record of an earlier version does not name it, but the
    spec tells."""
    return known or ("none" if spec.network == "none" else "nat")


def choose_network(registry: Registry, machine: Machine, link: Link, likely: str = "") -> GuestNetwork:
    """The machine's network: with the address that the machine has already, else with an address that no other
    machine has: the `likely` one, which its guest has already, or a new one."""
    taken = {other.address for other in registry.all() if other.address}
    if not isinstance(link, Tap):
        return prepare_user_nat(taken, likely)
    if is_guest(machine.address):
        address = machine.address
    else:
        address = likely if is_guest(likely) and likely not in taken else choose_address(taken)
    return prepare_tap_network(address, ipv6=reaches_ipv6())


async def admit(guards: Guards, registry: Registry, resources: ResourceTable, machine: Machine) -> None:
    """Tell the relay what the machine may reach, and then the keeper which address and networks its tap has. Does
    nothing for a machine without a tap. Raises `network_failed`."""
    if machine.network.link != "tap":
        return
    tap = tap_of(resources, machine)
    note_passage(resources, guards, machine, tap)
    try:
        await tell_relay(Relay(guards.ask_relay), registry, machine)
        keeper = Keeper(guards.ask_keeper)
        await keeper.bind(tap, machine.address, machine.network.address_6)
        await settle_joins(keeper, tap, frozenset(), numbers_of(registry, machine))
    except Refused as exc:
        raise Error("network_failed", f"{machine.name} does not get its network: {exc.message}") from exc


async def tell_relay(relay: Relay, registry: Registry, machine: Machine) -> None:
    """Tell the relay all about the machine, as the records are now. Raises what the relay raises."""
    await relay.tell(describe_to_relay(machine, peers_of(registry, machine)))


async def settle_joins(keeper: Keeper, tap: str, joined: Set[int], wanted: Set[int]) -> None:
    """Let the tap be on the networks `wanted`, and on no others. Raises what the keeper raises."""
    for number in joined - wanted:
        await keeper.leave(tap, number)
    for number in wanted - joined:
        await keeper.join(tap, number)


def tap_of(resources: ResourceTable, machine: Machine) -> str:
    """The key of the tap that the machine's VM has."""
    held = {resource.kind: resource.identity for resource in resources.of_machine(machine.id)}
    return str(held[kinds.TAP.name]["key"])


def note_passage(resources: ResourceTable, guards: Guards, machine: Machine, tap: str) -> None:
    """Record the tap with this key and what the relay is told of the machine, unless there are records."""
    held = {resource.kind for resource in resources.of_machine(machine.id)}
    if kinds.TAP.name not in held:  # an older store was put back
        resources.note(machine.id, kinds.TAP.name, {"socket": str(guards.keeper.socket), "key": tap})
    if kinds.PASSAGE.name not in held:
        identity: Identity = {"socket": str(guards.relay.socket), "key": key_of(machine)}
        resources.note(machine.id, kinds.PASSAGE.name, identity)


def key_of(machine: Machine) -> str:
    """What the relay calls the machine."""
    return f"vm-{machine.id}"


def id_of(key: str) -> str:
    """The id of the machine that the relay calls so."""
    return key.removeprefix("vm-")


def describe_to_relay(machine: Machine, peers: Names) -> MachineTold:
    """What the relay is told of a machine. A name that the user gave it means what the user said, also
    if one of its `peers` has this name."""
    spec, addresses = machine.spec, (machine.address, machine.network.address_6)
    base = machine.network.policy or "none"
    hosts = [(name.lower(), (address,)) for name, _, address in (host.partition(":") for host in spec.hosts)]
    own = (spec.hostname or machine.name).lower()
    given = {own, *(name for name, _ in hosts)}
    return MachineTold(
        key=key_of(machine),
        addresses=addresses,
        policy=tuple(policy.describe_to_relay(base, policy.read_policy(spec.allow, spec.deny))),
        names=((own, addresses), *hosts, *(peer for peer in peers.items() if peer[0] not in given)),
        dns=tuple(spec.dns),
        asleep=machine.pause_cause is PauseCause.IDLE,
    )
