"""The network of a machine: what it may reach, and which of its ports the host publishes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from banger.model.labels import Labels

# What a machine may reach; docs/network.md says what each opens. "internal" is for networks without a way out.
Policy = Literal["none", "internet", "lan", "host"]
# How a VMM's interface is connected: a tap of the keeper, or the VMM's own address translation.
LinkKind = Literal["", "none", "nat", "tap"]
Protocol = Literal["tcp", "udp"]
# What a guest may try: `icmp` is an echo request (ping), and has no port.
Attempt = Literal["tcp", "udp", "icmp"]

Rule = Annotated[str, Meta(min_length=1, max_length=300)]
PortRule = Annotated[str, Meta(min_length=1, max_length=128)]
AddressText = Annotated[str, Meta(min_length=2, max_length=45)]
HostName = Annotated[str, Meta(min_length=1, max_length=253)]
NetworkName = Annotated[str, Meta(min_length=1, max_length=63)]


class Membership(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A named network that a machine is on. `aliases` are names that the machine has there beside its own."""

    network: NetworkName
    aliases: Annotated[tuple[HostName, ...], Meta(max_length=16)] = ()


class Member(Struct, kw_only=True, frozen=True):
    """A machine on a network. The addresses are empty before its first start."""

    machine: str
    address: str = ""
    address_6: str = ""
    aliases: tuple[str, ...] = ()


class Network(Struct, kw_only=True, frozen=True):
    """A named network: machines on it reach one another. A machine that is only on networks that are `internal` reaches
    nothing else, unless its policy opens more. `number` is what the keeper calls the network. `members` are only in
    answers, not in the record."""

    name: str
    number: int
    internal: bool = False
    created: str = ""
    labels: Labels = {}
    members: tuple[Member, ...] = ()


class PublishedPort(Struct, kw_only=True, frozen=True):
    """A port of the host that leads to a port of the guest. `bind` is an address of the host."""

    bind: str
    port: int
    guest_port: int
    protocol: Protocol = "tcp"


class Denial(Struct, kw_only=True, frozen=True):
    """What a guest tried to reach and was not allowed to: `count` times since the daemon began to count. `rule` denied
    it; `allow` is the value of --allow that would allow it, empty if none would. `port` is 0 for `icmp`, an echo
    request (ping)."""

    protocol: Attempt
    address: str
    port: int
    rule: str
    count: int = 1
    allow: str = ""


class MachineNetwork(Struct, kw_only=True, frozen=True):
    """The network that a machine has since its latest start. `policy` is what is enforced. `address_6` is the IPv6
    address beside `Machine.address`. `denied` counts attempts that were denied; it and `denials` are only in the
    answer about one machine."""

    link: LinkKind = ""
    policy: Policy | Literal[""] = ""
    address_6: str = ""
    ports: tuple[PublishedPort, ...] = ()
    denied: int = 0
    denials: tuple[Denial, ...] = ()
