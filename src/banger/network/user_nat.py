"""The VMM's built-in user-mode NAT: no privileges, each machine alone behind its own address translation.

Name servers of the host are used by way of the NAT's own resolver, so VPNs and split DNS work.
"""

from __future__ import annotations

import os
import random
from typing import NamedTuple

_FIRST, _LAST = 16, 254


class GuestNetwork(NamedTuple):
    """What the guest's link is told. `address` has its prefix length."""

    address: str
    gateway: str
    dns: str
    mtu: int

    @property
    def host_address(self) -> str:
        return self.address.partition("/")[0]


def plan_user_nat(taken: frozenset[str] = frozenset()) -> GuestNetwork:
    """In the network that QEMU's `-netdev user` has by default. Each machine is alone in its own, so addresses need
    not differ; they do while there are some left, for whoever compares logs."""
    every = [f"10.0.2.{last}" for last in range(_FIRST, _LAST + 1)]
    free = [address for address in every if address not in taken]
    return GuestNetwork(f"{random.choice(free or every)}/24", "10.0.2.2", "10.0.2.3", 1500)


def invent_mac() -> str:
    """A random, locally administered unicast address in QEMU's own prefix."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in os.urandom(3))
