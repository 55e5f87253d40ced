"""Rules of a policy, as users write them for `--allow` and `--deny`, and as the relay reads them.

    HOST[:PORT[-PORT]]            example.com, *.example.com:443, host.banger.internal:8080, bücher.example
    ADDRESS[:PORT[-PORT]]         192.0.2.7:80-90, 2001:db8::7, [2001:db8::7]:443
    NETWORK[:PORT[-PORT]]         10.1.0.0/16, 2001:db8::/32:443, [2001:db8::/32]:443
    *[:PORT[-PORT]]               every address of both families

A name matches as it is asked for, `*.NAME` the names below NAME. Which rule counts is the relay's affair.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Literal, NamedTuple

from banger.errors import Error
from banger.network.ranges import Network, is_never_open

Verb = Literal["allow", "deny"]

HOST_NAME = "host.banger.internal"
_LAST_PORT = 65535
_NAME_LENGTH, _LABEL_LENGTH = 253, 63
_LABEL = re.compile(r"(?!-)[a-z0-9_-]+(?<!-)")
_EVERYTHING = ("0.0.0.0/0", "::/0")
_EXAMPLES = "write a name, an address or a network, and a port if need be: example.com:443, 10.1.0.0/16"
# Letters that browsers and this program would write differently in ASCII.
_TWO_SPELLINGS = frozenset("ßς\u200c\u200d")


class Rule(NamedTuple):
    """One rule. `target` is a network or a name in ASCII, in lower case and perhaps with `*.` in front. `ports` are the
    first and the last port, None for every port."""

    verb: Verb
    target: Network | str
    ports: tuple[int, int] | None

    @property
    def line(self) -> str:
        """The rule as the relay reads it."""
        target = self.target if isinstance(self.target, str) else self.target.compressed
        return f"{self.verb} {target}{_describe_ports(self.ports)}"


def _describe_ports(ports: tuple[int, int] | None) -> str:
    if ports is None:
        return ""
    first, last = ports
    return f" {first}" if first == last else f" {first}-{last}"


def read_rules(verb: Verb, text: str) -> tuple[Rule, ...]:
    """The rules that a value of `--allow` or `--deny` means: one, or one for each family. Raises `bad_spec`."""
    target, ports_text = _split(text.strip())
    if not target:
        raise _refuse(verb, text, "it is empty", _EXAMPLES)
    ports = _read_ports(verb, text, ports_text)
    if target == "*":
        return tuple(Rule(verb, ipaddress.ip_network(each), ports) for each in _EVERYTHING)
    if _looks_like_address(target):
        return (Rule(verb, _read_network(verb, text, target), ports),)
    return (Rule(verb, _read_name(verb, text, target), ports),)


def _split(text: str) -> tuple[str, str | None]:
    """The target, without brackets, and what is written as its ports."""
    bracketed = re.fullmatch(r"\[([^\[\]]*)\](/[^:/]*)?(?::(.*))?", text)
    if bracketed:
        return bracketed[1] + (bracketed[2] or ""), bracketed[3]
    head, slash, tail = text.rpartition("/")
    if slash and ":" in head:  # a network of IPv6: a colon behind the slash is of ports
        prefix, colon, ports = tail.partition(":")
        return f"{head}/{prefix}", ports if colon else None
    if text.count(":") > 1:
        return text, None
    target, colon, ports = text.partition(":")
    return target, ports if colon else None


def _read_ports(verb: Verb, text: str, ports: str | None) -> tuple[int, int] | None:
    if ports is None or ports == "*":
        return None
    found = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", ports)
    if not found:
        raise _refuse(
            verb, text, f"{ports!r} is not a port", "a port is a number, a range is two: 443, 8000-8010"
        )
    first, last = int(found[1]), int(found[2] or found[1])
    if not 1 <= first <= _LAST_PORT or not 1 <= last <= _LAST_PORT:
        raise _refuse(verb, text, f"ports are 1 to {_LAST_PORT}", "")
    if first > last:
        raise _refuse(verb, text, f"the range ends before it begins: {ports}", f"write {last}-{first}")
    return first, last


def _looks_like_address(target: str) -> bool:
    return (
        ":" in target or "/" in target or target.rpartition(".")[2].isdecimal() or target[:2].lower() == "0x"
    )


def _read_network(verb: Verb, text: str, target: str) -> Network:
    if "%" in target:
        raise _refuse(
            verb, text, "an address with an interface is the host's own affair", "leave out %INTERFACE"
        )
    if "://" in target:
        raise _refuse(verb, text, "it is a URL", "write the name and the port alone: example.com:443")
    network = _parse(target)
    if network is None:
        loose = _parse(target, strict=False)
        if loose is None:
            raise _refuse(verb, text, f"{target!r} is neither an address nor a network", _EXAMPLES)
        raise _refuse(
            verb, text, "the address has bits behind the prefix", f"write {loose}, or the address alone"
        )
    if verb == "allow" and is_never_open(network):
        raise _refuse(
            verb,
            text,
            f"{network} is the loopback, of the guest or of the host",
            f"--allow {HOST_NAME}:PORT opens a port of the host's loopback",
        )
    return network


def _parse(target: str, *, strict: bool = True) -> Network | None:
    try:
        return _without_mapping(ipaddress.ip_network(target, strict))
    except ValueError:
        return None


def _without_mapping(network: Network) -> Network:
    """IPv4 for IPv4 addresses in the form of IPv6, ::ffff:a.b.c.d."""
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - 96))


def _read_name(verb: Verb, text: str, target: str) -> str:
    pattern = "*." if target.startswith("*.") else ""
    name = _to_ascii(verb, text, target.removeprefix(pattern).removesuffix("."))
    labels = name.split(".")
    if "*" in name:
        raise _refuse(verb, text, "a * stands for the whole beginning of a name", "write *.example.com")
    if len(name) > _NAME_LENGTH or any(len(label) > _LABEL_LENGTH for label in labels):
        raise _refuse(verb, text[:70], f"a name has at most {_NAME_LENGTH} characters, a part of it 63", "")
    if not all(_LABEL.fullmatch(label) for label in labels) or _looks_like_address(name):
        raise _refuse(verb, text, f"{target!r} is not the name of a host", _EXAMPLES)
    if verb == "allow" and labels[-1] == "localhost":
        raise _refuse(
            verb,
            text,
            "a guest's localhost is the guest itself",
            f"--allow {HOST_NAME}:PORT opens a port of the host's loopback",
        )
    return pattern + name


def _to_ascii(verb: Verb, text: str, name: str) -> str:
    if name.isascii():
        return name.lower()
    if not _TWO_SPELLINGS.isdisjoint(name.lower()):
        raise _refuse(
            verb, text, "programs differ in how they write this name in ASCII", "write it as xn--..."
        )
    try:
        return name.encode("idna").decode("ascii").lower()
    except UnicodeError as exc:
        raise _refuse(verb, text, f"{name!r} is not the name of a host", "write it as xn--...") from exc


def _refuse(verb: Verb, text: str, reason: str, hint: str) -> Error:
    return Error("bad_spec", f"bad --{verb} {text!r}: {reason}", hint)
