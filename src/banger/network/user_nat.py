"""The VMM's built-in user-mode NAT: no privileges, each machine alone behind its own address translation.

Name servers of the host are used by way of the NAT's own resolver, so VPNs and split DNS work.
"""

from __future__ import annotations

import ipaddress
import os
import random
import socket
from typing import NamedTuple

_FIRST, _LAST = 16, 254
_WORLD = ipaddress.IPv6Network("2000::/3")
_IN_THE_WORLD = "2000::1"


class GuestNetwork(NamedTuple):
    """What the guest's link is told. `address` has its prefix length. `ipv6`: routers are believed, and so there is a
    way out; the NAT advertises one wherever it runs."""

    address: str
    gateway: str
    dns: str
    mtu: int
    ipv6: bool

    @property
    def host_address(self) -> str:
        return self.address.partition("/")[0]


def plan_user_nat(taken: frozenset[str] = frozenset()) -> GuestNetwork:
    """In the network that QEMU's `-netdev user` has by default. Each machine is alone in its own, so addresses need
    not differ; they do while there are some left, for whoever compares logs."""
    every = [f"10.0.2.{last}" for last in range(_FIRST, _LAST + 1)]
    free = [address for address in every if address not in taken]
    return GuestNetwork(f"{random.choice(free or every)}/24", "10.0.2.2", "10.0.2.3", 1500, reaches_ipv6())


def reaches_ipv6() -> bool:
    """Whether this host has a way into IPv6's world, and an address that answers come back to. Nothing is sent: a
    datagram socket that is connected only chooses."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
            asking.connect((_IN_THE_WORLD, 53))
            return is_of_the_world(asking.getsockname()[0])
    except OSError:
        return False


def is_of_the_world(address: str) -> bool:
    """A global unicast address; those of private networks (fc00::/7) and of one link are none."""
    return ipaddress.IPv6Address(address.partition("%")[0]) in _WORLD


def invent_mac() -> str:
    """A random, locally administered unicast address in QEMU's own prefix."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in os.urandom(3))
