"""What a policy allows, said once more: slowly, with Python's own addresses, and in none of the relay's words.

A dial has reasons for and against it. Each has a weight: how narrow its addresses and its ports are, whether a user
gave it, and that a refusal is heavier than a permission. The heaviest reason decides.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field

from banger.network.ranges import CLOSED_RANGES, Address
from banger.network.rules import HOST_NAME, Rule

GATEWAYS = (ipaddress.ip_address("10.213.0.1"), ipaddress.ip_address("fd62:616e:6765::1"))
_WORLDS = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LAST_BITS = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("::ffff:0:0:0/96"), _NAT64)
_EXACT_NAME, _PATTERN = 10_000, 1_000

Weight = tuple[int, int, bool, bool]


@dataclass
class OraclePolicy:
    """A policy with the host around it. `pins` are pairs of an address and the name that led to it."""

    base: str
    rules: list[Rule]
    own: list[Address]
    pins: list[tuple[Address, str]] = field(default_factory=list)

    def allows(self, address: Address, port: int) -> bool:
        plain = _plain(address)
        return self._allows(plain, port) and all(self._allows(inner, port) for inner in _within(plain))

    def name(self, name: str) -> str:
        """What becomes of a query for a name: `answered`, `allowed`, `denied` or `closed`."""
        reasons = []
        for rule in self.rules:
            allow = rule.verb == "allow"
            if isinstance(rule.target, str) and _matches(rule.target, name) and (allow or rule.ports is None):
                first, last = rule.ports or (0, 65535)
                reasons.append((_weight_of_name(rule.target), first - last, not allow))
        if reasons:
            return "denied" if max(reasons)[2] else "allowed"
        return "answered" if self._answers_names() else "closed"

    def _answers_names(self) -> bool:
        worlds = {rule.target for rule in self.rules if rule.ports is None and rule.verb == "deny"}
        for rule in self.rules:
            if rule.verb == "allow" and rule.target in _WORLDS and (rule.ports or rule.target not in worlds):
                return True
        return self.base != "internal" and _WORLDS[0] not in worlds

    def _allows(self, address: Address, port: int) -> bool:
        around = [closed for closed in CLOSED_RANGES if address in closed.network]
        if any(closed.opening == "never" for closed in around):
            return False
        reasons = [*self._reasons_of_base(address), *self._reasons_of_rules(address, port)]
        return max(reasons)[1]

    def _reasons_of_base(self, address: Address) -> Iterator[tuple[Weight, bool]]:
        yield (-1, 0, False, False), self.base != "internal"
        for closed in CLOSED_RANGES:
            opened = closed.opening == "local" and self.base in ("lan", "host")
            if address in closed.network and not opened:
                yield (_bits(closed.network.prefixlen, address), -65536, False, True), False
        if address in self.own or address in GATEWAYS:
            allow = self.base == "host"
            yield (128, -65536, False, not allow), allow

    def _reasons_of_rules(self, address: Address, port: int) -> Iterator[tuple[Weight, bool]]:
        for rule in self.rules:
            first, last = rule.ports or (0, 65535)
            if not first <= port <= last:
                continue
            allow = rule.verb == "allow"
            narrow = -(last - first + 1)
            if not isinstance(rule.target, str):
                if address in rule.target:
                    yield (_bits(rule.target.prefixlen, address), narrow, True, not allow), allow
            elif self._is_named(address, rule.target, allow=allow):
                yield (_weight_of_name(rule.target), narrow, True, not allow), allow

    def _is_named(self, address: Address, target: str, *, allow: bool) -> bool:
        if address in GATEWAYS and (target == HOST_NAME or (not allow and _matches(target, HOST_NAME))):
            return True
        sensitive = any(address in closed.network for closed in CLOSED_RANGES if closed.opening != "local")
        if allow and (sensitive or address in self.own or address in GATEWAYS):
            return False
        pinned = [(_plain(pin), name) for pin, name in self.pins]
        return any(
            _matches(target, name) and (address == pin or address in _within(pin)) for pin, name in pinned
        )


def _bits(prefix: int, address: Address) -> int:
    return prefix + 96 if address.version == 4 else prefix


def _weight_of_name(target: str) -> int:
    return _PATTERN + len(target) if target.startswith("*.") else _EXACT_NAME


def _matches(target: str, name: str) -> bool:
    labels, wanted = name.split("."), target.split(".")
    if wanted[0] != "*":
        return labels == wanted
    return len(labels) >= len(wanted) and labels[-len(wanted) + 1 :] == wanted[1:]


def _plain(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _within(address: Address) -> list[Address]:
    """The IPv4 address that an IPv6 address carries."""
    if isinstance(address, ipaddress.IPv4Address) or int(address) in (0, 1):
        return []
    if address.sixtofour:
        return [address.sixtofour]
    if address.teredo:
        return [address.teredo[1]]
    if any(address in network for network in _LAST_BITS):
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return []
