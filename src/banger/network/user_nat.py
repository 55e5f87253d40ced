"""The VMM's built-in user-mode NAT: no privileges, each machine alone behind its own address translation.

Name servers of the host are used by way of the NAT's own resolver, so VPNs and split DNS work.
"""

from __future__ import annotations

import os
from typing import NamedTuple


class GuestNetwork(NamedTuple):
    """What the guest's link is told. `address` has its prefix length."""

    address: str
    gateway: str
    dns: str
    mtu: int


def plan_user_nat() -> GuestNetwork:
    """The addresses that QEMU's `-netdev user` uses by default."""
    return GuestNetwork("10.0.2.15/24", "10.0.2.2", "10.0.2.3", 1500)


def invent_mac() -> str:
    """A random, locally administered unicast address in QEMU's own prefix."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in os.urandom(3))
