"""Choose a guest's link to the network, as a value that its driver receives; open a tap for a VMM that starts."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator

from banger.guests.taps import Taps
from banger.model.network import LinkKind
from banger.network.addresses import GUESTS_4, choose_address, prepare_tap_network
from banger.network.user_nat import GuestNetwork, invent_mac, prepare_user_nat, reaches_ipv6
from banger.resources import kinds
from banger.store.resources import ResourceTable
from banger.vmm.base import VmConfig
from banger.vmm.link import Link, NoLink, Tap, UserNat

_NOBODY = str(GUESTS_4[2])


def link_of_kind(kind: LinkKind) -> Link:
    """A new link; the kind of an earlier version's record is empty."""
    if kind == "none":
        return NoLink()
    return Tap(invent_mac()) if kind == "tap" else UserNat(invent_mac())


def another_link(link: Link) -> Link:
    """A link of the same kind for another guest."""
    if isinstance(link, NoLink):
        return link
    return UserNat(invent_mac()) if isinstance(link, UserNat) else Tap(invent_mac())


def placeholder_network(link: Link) -> GuestNetwork:
    """The network of a guest that is no machine yet. On a tap it reaches nothing: its address is not bound."""
    return prepare_tap_network(_NOBODY, ipv6=False) if isinstance(link, Tap) else prepare_user_nat()


def likely_network(link: Link) -> GuestNetwork:
    """A network that the next machine with such a link can have, for a guest that waits to become it. Until then the
    guest reaches nothing either: its address is not bound."""
    if isinstance(link, Tap):
        return prepare_tap_network(choose_address(()), ipv6=reaches_ipv6())
    return prepare_user_nat()


@contextlib.asynccontextmanager
async def linked(
    resources: ResourceTable, taps: Taps, owner: str, config: VmConfig
) -> AsyncIterator[VmConfig]:
    """The configuration with an open tap, if its link is a tap, until the end of the block. The VMM that is started in
    the block keeps the tap; its record says so. Raises `network_failed`."""
    if not isinstance(config.link, Tap):
        yield config
        return
    identity = taps.identity_of(owner)
    resources.note(owner, kinds.TAP.name, identity)
    fd = await taps.open(identity)
    try:
        yield dataclasses.replace(config, link=dataclasses.replace(config.link, fd=fd))
    finally:
        os.close(fd)
