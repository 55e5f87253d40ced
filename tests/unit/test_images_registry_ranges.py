"""Where addresses lead, and who may send us there."""

from __future__ import annotations

import socket

import pytest

from banger.images.fetch.ranges import Range, Ranges, range_of, written_range
from banger.images.fetch.settings import RegistrySettings

HOST, LINK, PRIVATE, PUBLIC = Range.HOST, Range.LINK, Range.PRIVATE, Range.PUBLIC


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("127.0.0.1", HOST),
        ("127.255.0.9", HOST),
        ("0.0.0.0", HOST),
        ("0.1.2.3", HOST),
        ("::", HOST),
        ("::1", HOST),
        ("::ffff:127.0.0.1", HOST),
        ("::ffff:7f00:1", HOST),
        ("::127.0.0.1", HOST),
        ("::ffff:0:127.0.0.1", HOST),
        ("64:ff9b::7f00:1", HOST),
        ("64:ff9b:1::127.0.0.1", HOST),
        ("2002:7f00:1::", HOST),
        ("169.254.169.254", LINK),
        ("::ffff:169.254.169.254", LINK),
        ("64:ff9b::a9fe:a9fe", LINK),
        ("fe80::1%lo", LINK),
        ("fd00:ec2::254", LINK),
        ("100.100.100.200", LINK),
        ("168.63.129.16", LINK),
        ("10.1.2.3", PRIVATE),
        ("172.31.0.1", PRIVATE),
        ("192.168.1.1", PRIVATE),
        ("100.64.0.1", PRIVATE),
        ("64:ff9b::10.0.0.1", PRIVATE),
        ("fd12::1", PRIVATE),
        ("224.0.0.1", PRIVATE),
        ("255.255.255.255", PRIVATE),
        ("1.1.1.1", PUBLIC),
        ("2606:4700::1111", PUBLIC),
        ("64:ff9b::101:101", PUBLIC),
    ],
)
def test_an_address_is_known_in_every_dress(address: str, found: Range) -> None:
    assert range_of(address) is found


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("2130706433", HOST),
        ("0x7f000001:80", HOST),
        ("0177.0.0.1", HOST),
        ("127.1:5000", HOST),
        ("0", HOST),
        ("127.0.0.1.", HOST),
        ("localhost:5000", HOST),
        ("a.localhost.", HOST),
        ("[::1]:80", HOST),
        ("[::ffff:127.0.0.1]:443", HOST),
        ("0xa9fea9fe", LINK),
        ("[::ffff:169.254.169.254]", LINK),
        ("10.1", PRIVATE),
        ("registry.lan:5000", None),
        ("127.0.0.1.example.org", None),
    ],
)
def test_a_host_is_judged_by_how_it_is_written(host: str, found: Range | None) -> None:
    assert written_range(host) is found


@pytest.mark.parametrize(
    ("sender", "host", "address", "allowed"),
    [
        ("registry.example", "blobs.example", "1.1.1.1", True),
        ("registry.example", "blobs.example", "127.0.0.1", False),
        ("registry.example", "blobs.example", "10.0.0.7", False),
        ("registry.example", "registry.example:81", "10.0.0.7", False),
        ("10.0.0.5:5000", "auth.lan", "10.0.0.7", True),
        ("10.0.0.5:5000", "auth.lan", "127.0.0.1", False),
        ("10.0.0.5:5000", "auth.lan", "169.254.169.254", False),
        ("127.0.0.1:5000", "localhost:5001", "::1", True),
        ("127.0.0.1:5000", "metadata", "169.254.169.254", False),
        ("127.0.0.1:5000", "auth.lan", "10.0.0.7", False),
        ("registry.example", "insecure.lan:80", "10.0.0.7", True),
        ("registry.example", "storage.lan:443", "127.0.0.1", True),
    ],
)
def test_who_may_send_us_where(sender: str, host: str, address: str, allowed: bool) -> None:
    settings = RegistrySettings(insecure=frozenset({"insecure.lan"}), reachable=frozenset({"storage.lan"}))
    assert Ranges(settings).may_reach(sender, host, address) is allowed


def test_a_host_that_has_proven_itself_at_a_private_address_may_name_others() -> None:
    ranges = Ranges(RegistrySettings())
    ranges.prove("registry.lan:5000", "10.0.0.5", tls=False)
    assert not ranges.may_reach("registry.lan:5000", "auth.lan", "10.0.0.7")
    ranges.prove("registry.lan:5000", "10.0.0.5", tls=True)
    assert ranges.may_reach("registry.lan:5000", "auth.lan", "10.0.0.7")
    assert not ranges.may_reach("registry.lan:5000", "auth.lan", "127.0.0.1")


def test_a_name_of_this_host_may_name_itself_and_no_other() -> None:
    ranges = Ranges(RegistrySettings())
    ranges.prove("registry.test:5000", "127.0.0.1", tls=True)
    assert ranges.may_reach("registry.test:5000", "registry.test:5001", "127.0.0.1")
    assert not ranges.may_reach("registry.test:5000", "other.test:5001", "127.0.0.1")


def test_a_catalogs_host_is_private_only_if_all_of_its_addresses_are(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        "lab.lan": ["10.0.0.1", "fd12::1"],
        "odd.example": ["10.0.0.1", "1.1.1.1"],
        "own.test": ["127.0.0.1"],
    }

    def answer(host: str, *rest: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    ranges = Ranges(RegistrySettings())
    for sender in known:
        ranges.introduce(sender)
    assert [ranges.may_reach(sender, "registry.lan", "10.9.9.9") for sender in known] == [True, False, False]
    assert not any(ranges.may_reach(sender, "registry.lan", "127.0.0.1") for sender in known)
