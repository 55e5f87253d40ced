"""The relay's judge, in C, against an oracle in Python: random policies, and addresses at the edges of everything."""

from __future__ import annotations

import contextlib
import ipaddress
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from banger.errors import Error
from banger.network.policy import describe_to_relay, find_opening, read_policy
from banger.network.ranges import CARRIERS, CLOSED_RANGES, Address, Network, carries_another
from banger.network.rules import Rule
from tests.support.policy_oracle import GATEWAYS, OraclePolicy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
POLICIES, DIALS = 1500, 40
NAMES = ["a.example", "b.a.example", "c.b.a.example", "other.example", "host.banger.internal"]
PATTERNS = ["*.example", "*.a.example", "*.b.a.example", "*.banger.internal"]
PORTS = [1, 22, 79, 80, 81, 90, 91, 443, 65535]
RANGES = ["", "", ":80", ":443", ":80-90", ":1-1000", ":81-65535"]
Ask = Callable[[list[str]], list[str]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Lines to native/network/tests/programs/questions.c, and its answers."""
    if shutil.which("gcc") is None or shutil.which("make") is None:
        pytest.skip("capability missing: gcc and make")
    place = tmp_path_factory.mktemp("questions")
    words = ["make", "-C", str(ROOT / "native/network"), "questions", f"CHECK_OUT={place}"]
    subprocess.run(words, check=True, capture_output=True, timeout=300)

    def ask_all(lines: list[str]) -> list[str]:
        done = subprocess.run(
            [place / "questions"],
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers = done.stdout.splitlines()
        assert len(answers) == len(lines)
        return answers

    return ask_all


class Chance:
    """Policies and addresses by chance, the same each time. Numbers are near the edges of ranges."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        networks = [closed.network for closed in CLOSED_RANGES]
        self._edges_4 = [n for network in networks if network.version == 4 for n in _edges(network)]
        self._edges_6 = [
            n for network in (*networks, *CARRIERS) if network.version == 6 for n in _edges(network)
        ]
        self._edges_4 += [int(ipaddress.ip_address(text)) for text in ("8.8.8.8", "192.0.2.7", "10.213.0.1")]
        self._edges_6 += [int(ipaddress.ip_address(text)) for text in ("2606:4700::1", "fd62:616e:6765::1")]

    def address(self) -> Address:
        four = self._random.choice(self._edges_4)
        if self._random.random() < 0.2:
            four = self._random.getrandbits(32)
        form = self._random.randrange(11)
        if form < 4:
            return ipaddress.IPv4Address(four)
        tail = self._random.choice((0, 1, self._random.getrandbits(64)))
        forms = (
            0xFFFF << 32 | four,
            four,
            0xFFFF << 48 | four,
            0x0064FF9B << 96 | four,
            0x2002 << 112 | four << 80 | tail,
            0x20010000 << 96 | tail >> 32 << 32 | four ^ 0xFFFFFFFF,
            self._random.choice(self._edges_6),
        )
        return ipaddress.IPv6Address(forms[form - 4])

    def network(self) -> Network:
        address = self.address()
        length = self._random.choice((0, 4, 7, 8, 10, 12, 16, 24, 31, 32, 48, 64, 96, 104, 112, 127, 128))
        return ipaddress.ip_network((address, min(length, address.max_prefixlen)), strict=False)

    def rule(self) -> str:
        kind = self._random.randrange(10)
        ports = self._random.choice(RANGES)
        if kind < 2:
            return self._random.choice(NAMES + PATTERNS) + ports
        target = str(self.address()) if kind < 5 else str(self.network())
        return f"[{target}]{ports}" if ":" in target else target + ports

    def rules(self) -> tuple[Rule, ...]:
        """Those that a user could give: a loopback can be denied, not allowed."""
        given: dict[str, list[str]] = {"allow": [], "deny": []}
        for _ in range(self._random.randrange(7)):
            text = self.rule()
            verb = self._random.choice(("allow", "deny"))
            with contextlib.suppress(Error):
                read_policy([text] if verb == "allow" else [], [])
                given[verb].append(text)
        return read_policy(given["allow"], given["deny"])

    def policy(self) -> OraclePolicy:
        base = self._random.choice(("internal", "internet", "lan", "host"))
        own = [self.address() for _ in range(self._random.randrange(3))]
        pins = [(self.address(), self._random.choice(NAMES)) for _ in range(self._random.randrange(3))]
        return OraclePolicy(base, list(self.rules()), [_unmapped(each) for each in own], pins)

    def dials(self, policy: OraclePolicy) -> list[tuple[Address, int]]:
        """To addresses that the policy is about, and to others."""
        about = [*policy.own, *GATEWAYS, *(pin for pin, _ in policy.pins)]
        for rule in policy.rules:
            if not isinstance(rule.target, str):
                about += [type(rule.target.network_address)(n) for n in _edges(rule.target)]
        return [
            (
                self._random.choice(about) if self._random.random() < 0.4 else self.address(),
                self._random.choice(PORTS),
            )
            for _ in range(DIALS)
        ]


def _edges(network: Network) -> list[int]:
    first, last = int(network.network_address), int(network.broadcast_address)
    most = (1 << network.max_prefixlen) - 1
    return [min(max(n, 0), most) for n in (first - 1, first, first + 1, last - 1, last, last + 1)]


def _unmapped(address: Address) -> Address:
    return getattr(address, "ipv4_mapped", None) or address


def told_of(policy: OraclePolicy) -> list[str]:
    lines = describe_to_relay(policy.base, policy.rules)  # type: ignore[arg-type]  # one of them
    lines += [f"own {address}" for address in policy.own]
    return ["new", *lines, *(f"pin {name} {address} 60 0" for address, name in policy.pins)]


def test_the_judge_and_the_oracle_agree(ask: Ask) -> None:
    chance = Chance(20261128)
    lines: list[str] = []
    expected: list[str] = []
    for _ in range(POLICIES):
        policy = chance.policy()
        told = told_of(policy)
        lines += told
        expected += ["ok"] * len(told)
        for address, port in chance.dials(policy):
            lines.append(f"judge {address} {port} 1")
            expected.append("allowed" if policy.allows(address, port) else "denied")
        for name in NAMES:
            lines.append(f"name {name}")
            expected.append(policy.name(name))
    answers = ask(lines)
    begin = 0
    for place, (line, answer, wanted) in enumerate(zip(lines, answers, expected, strict=True)):
        begin = place if line == "new" else begin
        said = "allowed" if answer == "loopback" else answer.partition(" ")[0]
        if said != wanted:
            told = [each for each in lines[begin:place] if not each.startswith(("judge", "name"))]
            pytest.fail("\n".join([*told, f"{line}: {answer}, and not {wanted}"]))
    for verdict in ("allowed", "denied", "answered", "closed"):
        assert expected.count(verdict) > 100


def test_what_is_said_to_allow_a_denied_attempt_does(ask: Ask) -> None:
    chance = Chance(11)
    policies = [chance.policy() for _ in range(POLICIES // 5)]
    dials = [(policy, *dial) for policy in policies for dial in chance.dials(policy)[:10]]
    lines = [[*told_of(policy), f"judge {address} {port} 1"] for policy, address, port in dials]
    again: list[list[str]] = []
    expected: list[bool] = []
    answers = iter(ask([line for each in lines for line in each]))
    for (_, address, port), each in zip(dials, lines, strict=True):
        answer = [next(answers) for _ in each][-1]
        if not answer.startswith("denied ") or carries_another(address):
            continue
        opening = find_opening(str(address), port, answer.removeprefix("denied "))
        with contextlib.suppress(Error):  # what cannot be written for --allow is not said, either
            own = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
            (rule,) = read_policy([opening or own], [])
            again.append([*each[:-1], rule.line, each[-1]])
            expected.append(opening != "")
    answers = iter(ask([line for each in again for line in each]))
    for each, opens in zip(again, expected, strict=True):
        answer = [next(answers) for _ in each][-1]
        assert (answer in ("allowed", "loopback")) == opens, [*each, answer]
    assert expected.count(True) > 100
    assert expected.count(False) > 5


def test_both_lists_of_closed_ranges_are_the_same(ask: Ask) -> None:
    answers = ask([f"range {place}" for place in range(len(CLOSED_RANGES) + 1)])
    assert answers == [
        *(f"{closed.opening} closed {closed.word} {closed.network}" for closed in CLOSED_RANGES),
        "none",
    ]


def test_the_document_has_the_same_list() -> None:
    text = (ROOT / "docs/network.md").read_text()
    rows = re.findall(r"^\| `([0-9a-f.:/]+)` \| ([a-z-]+) \|", text, re.MULTILINE)
    assert rows == [(str(closed.network), closed.word) for closed in CLOSED_RANGES]


def test_only_the_addresses_of_the_host_lead_to_its_loopback(ask: Ask) -> None:
    forms = [
        "10.213.0.1",
        "fd62:616e:6765::1",
        "::ffff:10.213.0.1",
        "2002:ad5:1::1",
        "64:ff9b::10.213.0.1",
        "8.8.8.8",
    ]
    answers = ask(["base host", *(f"judge {form} 80 0" for form in forms)])
    assert answers[1:] == ["loopback", "loopback", "loopback", "allowed", "allowed", "allowed"]
