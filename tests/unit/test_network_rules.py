"""Words of `--network`, `--allow` and `--deny`: what they mean, and what is refused with a hint."""

from __future__ import annotations

import pytest

from banger.errors import Error
from banger.network.policy import (
    RULES_MOST,
    Asked,
    describe_to_relay,
    find_opening,
    read_network,
    read_policy,
)
from banger.network.rules import read_rules


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("example.com", "example.com"),
        ("Example.COM.:443", "example.com 443"),
        ("example.com:*", "example.com"),
        ("*.example.com:8000-8010", "*.example.com 8000-8010"),
        ("bücher.example:443", "xn--bcher-kva.example 443"),
        ("*.Bücher.example", "*.xn--bcher-kva.example"),
        ("db", "db"),
        ("_service.example.com", "_service.example.com"),
        ("3com.example", "3com.example"),
        ("host.banger.internal:8080", "host.banger.internal 8080"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.7:80-90", "192.0.2.7/32 80-90"),
        ("192.0.2.7:80-80", "192.0.2.7/32 80"),
        (" 10.1.0.0/16:53 ", "10.1.0.0/16 53"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("0.0.0.0/0:443", "0.0.0.0/0 443"),
        ("2001:db8::7", "2001:db8::7/128"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("2001:db8::/32:443", "2001:db8::/32 443"),
        ("[2001:db8::7]:443", "2001:db8::7/128 443"),
        ("[2001:db8::7]", "2001:db8::7/128"),
        ("[2001:db8::/32]:443", "2001:db8::/32 443"),
        ("[2001:db8::]/32:1-9", "2001:db8::/32 1-9"),
        ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ("[::ffff:10.0.0.0/104]:80", "10.0.0.0/8 80"),
        ("::/0", "::/0"),
        ("169.254.169.254:80", "169.254.169.254/32 80"),
    ],
)
def test_a_rule_is_read(text: str, line: str) -> None:
    (rule,) = read_rules("allow", text)
    assert rule.line == f"allow {line}"


def test_a_star_is_every_address_of_both_families() -> None:
    assert [rule.line for rule in read_rules("deny", "*:25")] == ["deny 0.0.0.0/0 25", "deny ::/0 25"]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "  ",
            ":80",
            "[]:80",
            "example.com:",
            "example.com:0",
            "example.com:65536",
            "example.com:x",
            "a:80-",
        ),
        *("a:-80", "a:90-80", "a:80-90-100", "a:80,90", "a:+80", "a:\uff18\uff10", "a:443/tcp", "a:https"),
        *("10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.1.2.3/8", "2001:db8::1/32", "10.0.0", "1.2.3.256"),
        *(
            "0x7f.0.0.1",
            "2130706433",
            "127.1",
            "01.2.3.4",
            "\uff11\uff12\uff17.0.0.1",
            "127\u30020\u30020\u30021",
            "1.2.3.4.5",
        ),
        *(
            "::ffff:0:0:0:0:0:0:0:0",
            "[::1",
            "::1]",
            "[::1]80",
            "[1.2.3.4",
            "fe80::1%eth0",
            "[fe80::1%eth0]:80",
        ),
        *(
            "https://example.com/",
            "example.com/path",
            "user@example.com",
            "*.",
            "*.*.example",
            "a.*.example",
        ),
        *(
            "ex*mple.com",
            "a..b",
            ".example",
            "-a.example",
            "a-.example",
            "a b",
            "a\nbase host",
            "a\tb",
            "é..example",
        ),
        *(
            "straße.example",
            "faß.de",
            "a" * 64 + ".example",
            ".".join(["a" * 60] * 5),
            "exa\u200cmple.com",
            "a.example..",
        ),
        *(
            "127.0.0.1:8080",
            "[::1]:8080",
            "localhost",
            "sub.localhost:80",
            "0.0.0.0",
            "0.0.0.0/8",
            "::",
            "127.0.0.0/9",
        ),
    ],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(Error) as raised:
        read_rules("allow", text)
    assert raised.value.code == "bad_spec"
    assert raised.value.message.startswith("bad --allow ")


def test_the_loopback_has_a_name_for_guests() -> None:
    with pytest.raises(Error) as raised:
        read_rules("allow", "127.0.0.1:8080")
    assert "host.banger.internal" in raised.value.hint
    (rule,) = read_rules("deny", "127.0.0.1:8080")
    assert rule.line == "deny 127.0.0.1/32 8080"


def test_a_network_with_bits_behind_its_prefix_has_a_hint() -> None:
    with pytest.raises(Error) as raised:
        read_rules("deny", "10.1.2.3/8")
    assert raised.value.hint == "write 10.0.0.0/8, or the address alone"


def test_a_policy_has_each_rule_once() -> None:
    rules = read_policy(["a.example", "A.example.", "*:80"], ["10.0.0.0/8", "a.example"])
    assert describe_to_relay("none", rules) == [
        "base internal",
        "allow a.example",
        "allow 0.0.0.0/0 80",
        "allow ::/0 80",
        "deny 10.0.0.0/8",
        "deny a.example",
    ]
    assert describe_to_relay("lan", ()) == ["base lan"]


def test_a_policy_that_the_relay_does_not_take_is_refused() -> None:
    texts = [f"10.0.{number}.0/24" for number in range(RULES_MOST)]
    assert len(read_policy(texts, [])) == RULES_MOST
    with pytest.raises(Error, match="at most"):
        read_policy(texts, ["1.1.1.1"])
    long = [f"{'a' * 60}.{'b' * 60}.{'c' * 60}.{number}.example" for number in range(RULES_MOST)]
    with pytest.raises(Error, match="at most"):
        read_policy(long, [])


@pytest.mark.parametrize("word", ["none", "internet", "lan", "host"])
def test_a_policy_is_no_network(word: str) -> None:
    assert read_network(word) == Asked(word, "")


@pytest.mark.parametrize(("word", "code"), [("bridge", "bad_spec"), ("My Net", "bad_name"), ("", "bad_name")])
def test_a_network_has_a_name_that_is_free(word: str, code: str) -> None:
    assert read_network("mynet") == Asked("", "mynet")
    with pytest.raises(Error) as raised:
        read_network(word)
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("address", "rule", "opening"),
    [
        ("10.1.2.3", "closed private 10.0.0.0/8", "10.1.2.3:22"),
        ("fd00::7", "closed private fc00::/7", "[fd00::7]:22"),
        ("192.0.2.1", "closed internal", "192.0.2.1:22"),
        ("10.213.0.1", "closed host-loopback", "host.banger.internal:22"),
        ("192.168.1.5", "closed own-address", "192.168.1.5:22"),
        ("127.0.0.1", "closed loopback 127.0.0.0/8", ""),
        ("2002:a00:1::1", "closed private 10.0.0.0/8", ""),
        ("192.0.2.1", "deny 192.0.2.0/24", "192.0.2.1:22"),
        ("192.0.2.1", "deny 192.0.2.1/32", "192.0.2.1:22"),
        ("192.0.2.1", "deny 192.0.2.1/32 22", ""),
        ("192.0.2.1", "deny a.example 22", ""),
    ],
)
def test_a_denied_attempt_is_told_with_what_would_allow_it(address: str, rule: str, opening: str) -> None:
    assert find_opening(address, 22, rule) == opening


@pytest.mark.parametrize(
    ("address", "rule", "opening"),
    [
        ("10.1.2.3", "closed private 10.0.0.0/8", "10.1.2.3"),
        ("fd12::1", "closed private fc00::/7", "fd12::1"),
        ("1.2.3.4", "deny 0.0.0.0/0", "1.2.3.4"),
        ("1.2.3.4", "deny 1.2.3.4", ""),
        ("1.2.3.4", "deny 1.2.3.4 1-65535", ""),
    ],
)
def test_a_ping_that_was_denied_needs_a_rule_for_the_address(address: str, rule: str, opening: str) -> None:
    assert find_opening(address, 0, rule) == opening
