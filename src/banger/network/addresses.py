"""Addresses of guests on taps. All of a home are in one network of each family, which no other program sees: the keeper
has it in a namespace of its own. A guest has the same number in both families."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Collection

from banger.network.user_nat import GuestNetwork

GUESTS_4 = ipaddress.IPv4Network("10.213.0.0/16")
GUESTS_6 = ipaddress.IPv6Network("fd62:616e:6765::/64")
# Of the host's side, in the keeper's namespace: it is the router and the resolver of all guests.
GATEWAY_4 = GUESTS_4[1]
GATEWAY_6 = "fe80::1"
_FIRST, _LAST = 16, GUESTS_4.num_addresses - 2
_MTU = 1500


def is_guest(address: str) -> bool:
    """Whether a machine with this address can keep it on a tap."""
    try:
        return ipaddress.IPv4Address(address) in GUESTS_4
    except ValueError:
        return False


def choose_address(taken: Collection[str]) -> str:
    """An IPv4 address for a new guest. Addresses are chosen by chance: that of a guest that has ended is not the next
    one's, to which late packets would come."""
    while True:
        address = str(GUESTS_4[random.randint(_FIRST, _LAST)])
        if address not in taken:
            return address


def address_6_of(address: str) -> str:
    """The guest's IPv6 address."""
    return str(GUESTS_6[int(ipaddress.IPv4Address(address)) - int(GUESTS_4.network_address)])


def prepare_tap_network(address: str, *, ipv6: bool) -> GuestNetwork:
    """What a guest with this address is told. Its prefixes are as long as the addresses: all that is sent passes the
    gateway, also to other guests. Without `ipv6`, a way into the IPv6 world, the guest has no default route there, so
    that its programs try no address in vain."""
    return GuestNetwork(
        addresses=(f"{address}/32", f"{address_6_of(address)}/128"),
        gateways=(str(GATEWAY_4), *([GATEWAY_6] if ipv6 else [])),
        dns=(str(GATEWAY_4),),
        mtu=_MTU,
        asks_router=False,
    )
