"""The explicit list of closed ranges: what guests do not reach unless the policy or a rule opens it.

The relay judges by the same list in C (native/network/ranges.c); tests compare the two, and the list in
docs/network.md. The list is no library's idea of private addresses: ranges for documentation and benchmarks are open,
since mirrors use them on some networks.
"""

from __future__ import annotations

import ipaddress
from typing import Literal, NamedTuple

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# What opens a range: the policies `lan` and `host`, and rules; only rules that have addresses; nothing.
Opening = Literal["local", "sensitive", "never"]


class ClosedRange(NamedTuple):
    """A range of addresses, a word for it, and what opens it."""

    network: Network
    word: str
    opening: Opening


def _ranges(*rows: tuple[str, str, Opening]) -> tuple[ClosedRange, ...]:
    return tuple(ClosedRange(ipaddress.ip_network(text), word, opening) for text, word, opening in rows)


CLOSED_RANGES = _ranges(
    ("0.0.0.0/8", "unspecified", "never"),
    ("10.0.0.0/8", "private", "local"),
    ("100.64.0.0/10", "shared", "local"),
    ("100.100.100.200/32", "metadata", "sensitive"),
    ("127.0.0.0/8", "loopback", "never"),
    ("168.63.129.16/32", "metadata", "sensitive"),
    ("169.254.0.0/16", "link-local", "sensitive"),
    ("172.16.0.0/12", "private", "local"),
    ("192.0.0.192/32", "metadata", "sensitive"),
    ("192.168.0.0/16", "private", "local"),
    ("224.0.0.0/4", "multicast", "sensitive"),
    ("240.0.0.0/4", "reserved", "sensitive"),
    ("::/128", "unspecified", "never"),
    ("::1/128", "loopback", "never"),
    ("64:ff9b:1::/48", "translated", "sensitive"),
    ("fc00::/7", "private", "local"),
    ("fd00:42::42/128", "metadata", "sensitive"),
    ("fd00:ec2::254/128", "metadata", "sensitive"),
    ("fd20:ce::254/128", "metadata", "sensitive"),
    ("fe80::/10", "link-local", "sensitive"),
    ("fec0::/10", "private", "local"),
    ("ff00::/8", "multicast", "sensitive"),
)

# IPv6 addresses in these ranges carry an IPv4 address, which is judged, too.
CARRIERS = tuple(
    ipaddress.IPv6Network(text)
    for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "2001::/32", "2002::/16")
)


def is_never_open(network: Network) -> bool:
    """Whether no policy and no rule opens any address of the network."""
    return any(
        network.subnet_of(closed.network)  # type: ignore[arg-type]  # of the same version
        for closed in CLOSED_RANGES
        if closed.opening == "never" and closed.network.version == network.version
    )


def carries_another(address: Address) -> bool:
    """Whether an address has an IPv4 address inside to which packets go in the end."""
    return address.version == 6 and any(address in carrier for carrier in CARRIERS)
