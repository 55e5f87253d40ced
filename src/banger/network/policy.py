"""What a machine may reach, in the words of `--network`, `--allow` and `--deny`: checked, and put into the lines that
the relay reads. The relay judges, this module never does.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Literal, NamedTuple

from banger.errors import Error
from banger.model.names import check_name
from banger.network.ranges import Address, carries_another, is_never_open
from banger.network.rules import HOST_NAME, Rule, read_rules

# What a policy opens before its rules; docs/network.md has the table. `internal` is for networks without a way out.
Base = Literal["none", "internet", "lan", "host", "internal"]
POLICIES = ("none", "internet", "lan", "host")
# Words that mean something else to users of other programs, or to the relay.
_RESERVED = ("internal", "bridge", "default", "nat", "all")
# The relay takes no more (native/network/policy.h), and a packet must hold the rules and all names.
RULES_MOST = 256
_BYTES_MOST = 32 << 10


class Asked(NamedTuple):
    """What a value of `--network` asks for: a policy, or a named network whose machines have the policy `internet`."""

    policy: str
    network: str


def read_network(word: str) -> Asked:
    """`none`, `internet`, `lan`, `host`, or the name of a network. Raises `bad_spec` and `bad_name`."""
    if word in POLICIES:
        return Asked(word, "")
    if word in _RESERVED:
        raise Error("bad_spec", f"no network can be called {word}", f"policies are {', '.join(POLICIES)}")
    return Asked("", check_name(word))


def read_policy(allow: Sequence[str], deny: Sequence[str]) -> tuple[Rule, ...]:
    """The rules, each once, in the order in which they are given. Raises `bad_spec`, also when there are more rules
    than the relay takes."""
    rules = [rule for text in allow for rule in read_rules("allow", text)]
    rules += [rule for text in deny for rule in read_rules("deny", text)]
    rules = list(dict.fromkeys(rules))
    if len(rules) > RULES_MOST or sum(len(rule.line) + 1 for rule in rules) > _BYTES_MOST:
        raise Error(
            "bad_spec",
            f"a policy has at most {RULES_MOST} rules and {_BYTES_MOST} bytes of them",
            "join networks, or use patterns such as *.example.com",
        )
    return tuple(rules)


def describe_to_relay(base: Base, rules: Sequence[Rule]) -> list[str]:
    """The lines of a policy, for the packet that tells the relay about a machine."""
    return [f"base {'internal' if base == 'none' else base}", *(rule.line for rule in rules)]


def find_opening(address: str, port: int, rule: str) -> str:
    """The value of `--allow` that would have allowed a denied attempt, empty if none would. An attempt without a port
    (0) needs a rule for the address. `rule` is the reason that the relay gives for the denial: `closed KIND [RANGE]`,
    or the line of a rule. For an IPv6 address that carries an IPv4 address it is always empty: two rules may be
    needed."""
    found = ipaddress.ip_address(address)
    if is_never_open(ipaddress.ip_network(found)) or carries_another(found):
        return ""
    match rule.split():
        case ["closed", "host-loopback"]:
            return f"{HOST_NAME}:{port}" if port else ""
        case ["deny", target, *ports] if not _yields(target, ports, found, port):
            return ""
    if not port:
        return address
    return f"[{address}]:{port}" if found.version == 6 else f"{address}:{port}"


def _yields(target: str, ports: list[str], address: Address, port: int) -> bool:
    """Whether a rule for this address and port alone is more specific than a `deny` of this target and these ports."""
    try:
        network = ipaddress.ip_network(target)
    except ValueError:
        return False  # a name is more specific than any address
    return network != ipaddress.ip_network(address) or (bool(port) and ports != [str(port)])
