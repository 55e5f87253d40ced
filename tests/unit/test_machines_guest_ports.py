"""Ports of a guest: read from what its agent says, and how each is reached from the host."""

from __future__ import annotations

import ipaddress
import json

import pytest

from banger.cli.verbs.observe import ways
from banger.machines.ask.inspect import note_ways, read_ports
from banger.model.encoding import encode_json
from banger.model.network import LinkKind, MachineNetwork, PublishedPort
from banger.model.report import GuestPort
from banger.wire.constants import Tag
from banger.wire.fields import Fields, encode_fields

HOST = PublishedPort(bind="127.0.0.1", port=8080, guest_port=80)
NAMES = PublishedPort(bind="::1", port=5353, guest_port=53, protocol="udp")


def shown(line: str, link: LinkKind = "tap") -> GuestPort:
    (port,) = read_ports(Fields(encode_fields([(Tag.PORT, line)])))
    note_ways(MachineNetwork(link=link, ports=(HOST, NAMES)), port)
    return port


def line_of(protocol: str, address: str, port: int) -> str:
    return f"{protocol} {ipaddress.ip_address(address).packed.hex()} {port} 7 server"


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.213.0.9", False),
        ("::ffff:10.213.0.9", False),
    ],
)
def test_a_service_on_the_guests_loopback_is_told_apart(address: str, loopback: bool) -> None:
    assert shown(line_of("tcp6" if ":" in address else "tcp", address, 80)).loopback == loopback


@pytest.mark.parametrize(
    ("line", "link", "said"),
    [
        (line_of("tcp", "0.0.0.0", 80), "tap", "127.0.0.1:8080"),
        (line_of("tcp", "127.0.0.1", 80), "tap", "127.0.0.1:8080"),
        (line_of("tcp6", "::1", 80), "tap", "127.0.0.1:8080"),
        (line_of("tcp", "127.0.0.1", 81), "tap", "banger vm port add dev 0:81 or banger vm tunnel dev 81"),
        (line_of("tcp", "127.0.0.1", 81), "none", "banger vm tunnel dev 81"),
        (line_of("udp", "0.0.0.0", 53), "tap", "[::1]:5353"),
        (line_of("udp6", "::", 54), "tap", "banger vm port add dev 0:54/udp"),
        (line_of("udp", "127.0.0.1", 53), "tap", "no: it is on the machine's loopback"),
        (line_of("udp", "0.0.0.0", 54), "none", "no: the machine has no tap"),
        (line_of("tcp", "0.0.0.0", 53), "tap", "banger vm port add dev 0:53 or banger vm tunnel dev 53"),
    ],
)
def test_each_port_says_how_it_is_reached(line: str, link: LinkKind, said: str) -> None:
    assert ways("dev", json.loads(encode_json(shown(line, link)))) == said
