"""Where an address leads, and where somebody else's text may send us.

What users name themselves is asked wherever it is. What a registry's or catalog's text names (redirects, token
servers, mirrors, registries in a catalog) is judged by the address that is connected to, after the name was resolved:
it may be a public one; a private one if the sender has one too; one of this very host only if the sender was written as
such. What a name resolves to is its owner's doing, so a name by itself gives no right to this host's addresses.
"""

from __future__ import annotations

import enum
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from banger.images.fetch.settings import RegistrySettings, hostname, is_loopback

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Networks of version 6 whose addresses end in one of version 4: NAT64 (RFC 6052, RFC 8215), and the obsolete
# "compatible" ones. 6to4 has it elsewhere.
_ENDS_IN_V4 = tuple(
    map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96"))
)
_LEAST_COMPATIBLE = 1 << 16  # below are ::, ::1 and their like
# What clouds tell machines about themselves at addresses that do not look like it.
_METADATA = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)


class Range(enum.Enum):
    """The value is how it is told to people."""

    HOST = "an address of this very host"
    LINK = "a link-local or metadata address"
    PRIVATE = "a private address"
    PUBLIC = "a public address"


def range_of(address: str) -> Range:
    """Of an IP address in its usual spelling. Raises ValueError."""
    found = _unwrap(ipaddress.ip_address(address.partition("%")[0]))
    if found.is_loopback or found.is_unspecified or (found.version == 4 and int(found) >> 24 == 0):
        return Range.HOST
    if found.is_link_local or found in _METADATA:
        return Range.LINK
    return Range.PUBLIC if found.is_global and not found.is_multicast else Range.PRIVATE


def written_range(host: str) -> Range | None:
    """Of a host or host:port that is an address, in any spelling that the C library takes for one ("127.1",
    "2130706433", "0x7f000001"), or a name of loopback; None for other names."""
    name = hostname(host).rstrip(".")
    if is_loopback(host):
        return Range.HOST
    try:
        return range_of(socket.inet_ntoa(socket.inet_aton(name)))
    except (OSError, UnicodeError):
        pass
    try:
        return range_of(name)
    except ValueError:
        return None


@dataclass
class Gate:
    """What connections to one host are judged by: `forbids` says what is wrong with an address; `met` is told at which
    the host was met, and whether with TLS."""

    forbids: Callable[[str], Exception | None]
    met: Callable[[str, bool], None]


@dataclass
class Ranges:
    """Lives as long as a transport; used from its threads. `_proven`: by host name, where hosts have shown that they
    are who they are, by TLS or because users named them as insecure."""

    settings: RegistrySettings
    _proven: dict[str, frozenset[str]] = field(default_factory=dict)

    def prove(self, host: str, address: str, tls: bool) -> None:
        """Anybody can say in plain HTTP that he is that host; there only the user's word counts."""
        if not tls and not self.settings.may_be_plain(host):
            return
        name = hostname(host)
        self._proven[name] = self._proven.get(name, frozenset()) | {address}

    def introduce(self, sender: str) -> None:
        """A host that is not asked here itself: it counts as private if its name resolves to nothing else. Blocking."""
        try:
            found = socket.getaddrinfo(hostname(sender), None, socket.AF_UNSPEC, socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        addresses = frozenset(str(address[0]) for *_, address in found)
        if all(range_of(address) is Range.PRIVATE for address in addresses):
            self._proven[hostname(sender)] = addresses

    def may_write(self, sender: str, host: str) -> bool:
        """Whether `sender` may name `host`, as far as can be told by how it is written."""
        found = written_range(host)
        return (
            found is None
            or self.settings.may_be_reached(host)
            or found in self._allowed(sender)
            or hostname(host) == hostname(sender)
        )

    def may_reach(self, sender: str, host: str, address: str) -> bool:
        """Whether it may, now that `host` turns out to be at `address`."""
        if self.settings.may_be_reached(host) or range_of(address) in self._allowed(sender):
            return True
        if hostname(host) != hostname(sender):
            return False
        return written_range(host) is not None or address in self._proven.get(hostname(sender), ())

    def _allowed(self, sender: str) -> set[Range]:
        allowed = {Range.PUBLIC}
        written = written_range(sender)
        if written is not None:
            allowed.add(written)
        if any(range_of(address) is Range.PRIVATE for address in self._proven.get(hostname(sender), ())):
            allowed.add(Range.PRIVATE)
        return allowed


def _unwrap(address: Address) -> Address:
    """The address of version 4 that one of version 6 stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is not None:
        return inner
    if any(address in network for network in _ENDS_IN_V4) and int(address) >= _LEAST_COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
