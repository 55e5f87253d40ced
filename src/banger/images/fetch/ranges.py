"""The range of an address, and which hosts a stranger's text may send us to.

Hosts that users name are asked at any address. Hosts that the text of a registry or catalog names (redirects, token
servers, mirrors, registries in a catalog) are judged by the address of the connection, after their name was resolved. A
public address is allowed; a private address only if the sender has a private one, too; an address of this host only if
the sender was written as such an address. The owner of a name decides what it resolves to, so a name alone gives no
access to the addresses of this host.
"""

from __future__ import annotations

import enum
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from banger.images.fetch.settings import RegistrySettings, hostname, is_loopback

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Networks of IPv6 addresses that end in an IPv4 address: NAT64 (RFC 6052, RFC 8215), and the obsolete "compatible"
# ones. 6to4 addresses have it in another place.
_ENDS_IN_V4 = tuple(
    map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96"))
)
_LEAST_COMPATIBLE = 1 << 16  # below this are :: and ::1, for example
# Metadata services of clouds whose addresses do not look special.
_METADATA = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)


class Range(enum.Enum):
    """The values are for messages."""

    HOST = "an address of this very host"
    LINK = "a link-local or metadata address"
    PRIVATE = "a private address"
    PUBLIC = "a public address"


def range_of(address: str) -> Range:
    """The range of an IP address in its usual spelling. Raises ValueError."""
    found = _unwrap(ipaddress.ip_address(address.partition("%")[0]))
    if found.is_loopback or found.is_unspecified or (found.version == 4 and int(found) >> 24 == 0):
        return Range.HOST
    if found.is_link_local or found in _METADATA:
        return Range.LINK
    return Range.PUBLIC if found.is_global and not found.is_multicast else Range.PRIVATE


def written_range(host: str) -> Range | None:
    """The range of a host or host:port that is an address, in any spelling that the C library accepts ("127.1",
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
    """The judge of connections to one host: `forbids` returns the error for an address, or None; `met` is told the
    address of each connection, and whether it uses TLS."""

    forbids: Callable[[str], Exception | None]
    met: Callable[[str, bool], None]


@dataclass
class Ranges:
    """Lives as long as a transport; used from its threads. `_proven` has, for each host name, the addresses at which
    the host has proved its name, by TLS or because the user allows plain HTTP for it."""

    settings: RegistrySettings
    _proven: dict[str, frozenset[str]] = field(default_factory=dict)

    def prove(self, host: str, address: str, tls: bool) -> None:
        """Record that a host was reached at an address. Plain HTTP proves nothing, unless the user allows it for this
        host."""
        if not tls and not self.settings.may_be_plain(host):
            return
        name = hostname(host)
        self._proven[name] = self._proven.get(name, frozenset()) | {address}

    def introduce(self, sender: str) -> None:
        """Record the addresses of a host that is not asked itself. It counts as private if its name resolves to private
        addresses only. Blocking."""
        try:
            found = socket.getaddrinfo(hostname(sender), None, socket.AF_UNSPEC, socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        addresses = frozenset(str(address[0]) for *_, address in found)
        if all(range_of(address) is Range.PRIVATE for address in addresses):
            self._proven[hostname(sender)] = addresses

    def may_write(self, sender: str, host: str) -> bool:
        """Whether `sender` may name `host`, judged by how `host` is written."""
        found = written_range(host)
        return (
            found is None
            or self.settings.may_be_reached(host)
            or found in self._allowed(sender)
            or hostname(host) == hostname(sender)
        )

    def may_reach(self, sender: str, host: str, address: str) -> bool:
        """Whether `sender` may send us to `host`, now that its address is known."""
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
    """The IPv4 address for which an IPv6 address stands."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is not None:
        return inner
    if any(address in network for network in _ENDS_IN_V4) and int(address) >= _LEAST_COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
