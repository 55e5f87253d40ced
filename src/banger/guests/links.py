"""Choose a guest's link to the network: once for each VM, as a value that its driver receives."""

from __future__ import annotations

from banger.errors import Error
from banger.network.user_nat import invent_mac
from banger.vmm.base import Driver
from banger.vmm.link import Link, NoLink, UserNat


def prepare_link(driver: Driver, network: str) -> Link:
    """The link of a new VM for the `network` of a spec: the VMM's own address translation if the VMM has that, else
    none."""
    if network == "none" or UserNat not in driver.capabilities.links:
        return NoLink()
    return UserNat(invent_mac())


def another_link(link: Link) -> Link:
    """A link of the same kind for another guest. Raises `unsupported` for a link that only one guest can have."""
    if isinstance(link, NoLink):
        return link
    if isinstance(link, UserNat):
        return UserNat(invent_mac())
    raise Error(
        "unsupported", "a tap device belongs to one guest", "plan another tap device for the other guest"
    )
