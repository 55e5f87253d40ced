"""Which link a guest gets to the world: planned here, once for each VM, then a value that its driver is given."""

from __future__ import annotations

from banger.errors import Error
from banger.network.user_nat import invent_mac
from banger.vmm.base import Driver
from banger.vmm.link import Link, NoLink, UserNat


def prepare_link(driver: Driver, network: str) -> Link:
    """Of a new VM, for the `network` of a spec: the VMM's own address translation where it has that, else none."""
    if network == "none" or UserNat not in driver.capabilities.links:
        return NoLink()
    return UserNat(invent_mac())


def another_link(link: Link) -> Link:
    """Of the same kind, for another guest. Raises `unsupported` for one that is of a single guest."""
    if isinstance(link, NoLink):
        return link
    if isinstance(link, UserNat):
        return UserNat(invent_mac())
    raise Error(
        "unsupported", "a tap device belongs to one guest", "plan another tap device for the other guest"
    )
