"""The VMM's built-in user-mode NAT: it needs no privileges, and each machine is alone behind its own address
translation.

The NAT's own resolver asks the host's name servers, so VPNs and split DNS work.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import random
import socket
from collections.abc import Collection
from typing import NamedTuple

_FIRST, _LAST = 16, 254
_WORLD = ipaddress.IPv6Network("2000::/3")
_IN_THE_WORLD = "2000::1"


class GuestNetwork(NamedTuple):
    """The configuration of the guest's link. `addresses` include their prefix lengths; the first is IPv4.
    `asks_router`: the guest accepts an IPv6 router that advertises itself."""

    addresses: tuple[str, ...]
    gateways: tuple[str, ...]
    dns: tuple[str, ...]
    mtu: int
    asks_router: bool

    @property
    def host_address(self) -> str:
        return self.addresses[0].partition("/")[0]


def prepare_user_nat(taken: Collection[str] = (), likely: str = "") -> GuestNetwork:
    """An address in the network that QEMU's `-netdev user` has by default. Each machine is alone in its network, so
    addresses need not differ; they do while some are free, for readers of logs. A free
    address that is `likely` is the one. The NAT advertises itself as a router
    on every host, so the guest accepts it only where it leads into the world."""
    every = [f"10.0.2.{last}" for last in range(_FIRST, _LAST + 1)]
    free = [address for address in every if address not in taken]
    address = likely if likely in free else random.choice(free or every)
    return GuestNetwork(
        addresses=(f"{address}/24",),
        gateways=("10.0.2.2",),
        dns=("10.0.2.3",),
        mtu=1500,
        asks_router=reaches_ipv6(),
    )


def has_ipv6() -> bool:
    """Whether this host's kernel has IPv6 at all."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError as exc:
        return exc.errno != errno.EAFNOSUPPORT
    return True


def reaches_ipv6() -> bool:
    """Whether this host has a route to global IPv6 addresses, and an address to which answers come back. Nothing is
    sent: connecting a datagram socket only selects the route."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
            asking.connect((_IN_THE_WORLD, 53))
            return is_of_the_world(asking.getsockname()[0])
    except OSError:
        return False


def is_of_the_world(address: str) -> bool:
    """Whether an address is global unicast; addresses of private networks (fc00::/7) and of one link are not."""
    return ipaddress.IPv6Address(address.partition("%")[0]) in _WORLD


def invent_mac() -> str:
    """A random, locally administered unicast address in QEMU's own prefix."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in os.urandom(3))
