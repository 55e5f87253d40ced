"""Changes of a machine's policy, and what the relay's events become."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from banger.machines.ask.connections import CONNECTIONS_MAX
from banger.machines.ask.networks import Asked, changed_spec
from banger.machines.life.publications import specs_of_copies
from banger.machines.watch.passages import Passages
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.model.network import MachineNetwork

fake: Any = SimpleNamespace


def spec(**fields: Any) -> MachineSpec:
    return MachineSpec(image="x", **fields)


@pytest.mark.parametrize(
    ("asked", "network", "allow", "deny"),
    [
        (Asked("", (), (), False), "lan", ["a"], ["b"]),
        (Asked("host", (), (), False), "host", ["a"], ["b"]),
        (Asked("", ("c",), ("d",), False), "lan", ["a", "c"], ["b", "d"]),
        (Asked("", ("b",), ("a",), False), "lan", ["b"], ["a"]),
        (Asked("", ("a",), (), False), "lan", ["a"], ["b"]),
        (Asked("", ("c",), (), True), "lan", ["c"], []),
        (Asked("", (), (), True), "lan", [], []),
    ],
)
def test_a_change_adds_replaces_and_takes_back(
    asked: Asked, network: str, allow: list[str], deny: list[str]
) -> None:
    new = changed_spec(spec(network="lan", allow=["a"], deny=["b"]), asked)
    assert (new.network, new.allow, new.deny) == (network, allow, deny)


def test_a_copy_publishes_the_same_ports_of_the_guest_on_free_ports_of_the_host() -> None:
    ports = ["8080:80", "[::1]:53:53/udp", "0.0.0.0:9000-9001:9000-9001"]
    assert specs_of_copies(spec(ports=ports)) == [
        "127.0.0.1:0:80/tcp", "[::1]:0:53/udp", "0.0.0.0:0:9000/tcp", "0.0.0.0:0:9001/tcp"
    ]  # fmt: skip


def passages(told: list[str]) -> tuple[Passages, Machine]:
    machine = Machine(
        id="0123",
        name="dev",
        state=MachineState.RUNNING,
        spec=spec(),
        created="",
        network=MachineNetwork(link="tap", policy="internet"),
    )
    live = {"0123": fake(machine=machine)}
    lives = fake(
        live=live, on_begin=[], on_end=[], tell=lambda kind, target, message, **data: told.append(message)
    )
    return Passages(lives, fake()), machine


def test_denied_attempts_are_counted_and_told_once_for_each_target() -> None:
    told: list[str] = []
    heard, machine = passages(told)
    for port, count in ((22, 1), (22, 4), (80, 2)):
        heard.hear(f"denied vm-0123 tcp 192.168.0.1 {port} closed private 192.168.0.0/16 {count}")
    heard.hear("denied vm-other tcp 192.168.0.1 22 closed private 192.168.0.0/16 1")
    for nonsense in (
        "",
        "denied",
        "denied vm-0123 tcp x y z",
        "hello vm-0123",
        "denied vm-0123 tcp x 1 rule x",
    ):
        heard.hear(nonsense)
    network = heard.describe(machine).network
    assert network.denied == 7
    assert [(one.port, one.count, one.allow) for one in network.denials] == [
        (22, 5, "192.168.0.1:22"),
        (80, 2, "192.168.0.1:80"),
    ]
    assert told == ["dev may not reach 192.168.0.1:22 (tcp)", "dev may not reach 192.168.0.1:80 (tcp)"]


def test_a_guest_that_tries_everything_fills_neither_the_record_nor_the_journal() -> None:
    told: list[str] = []
    heard, machine = passages(told)
    for port in range(1, 500):
        heard.hear(f"denied vm-0123 udp fd00::1 {port} closed private fc00::/7 1")
    network = heard.describe(machine).network
    assert network.denied == 499
    assert len(network.denials) == 64 and len(told) == 32


@pytest.mark.parametrize(
    "packet", ["reach vm-0123 80", "reach vm-other 80", "reach vm-0123 x", "hello", "knock"]
)
def test_a_client_whom_nobody_can_serve_is_let_go(packet: str) -> None:
    """As many as an agent takes are served; a flood of others leaves no descriptor here."""
    heard, machine = passages([])
    heard._reaching[machine.id] = CONNECTIONS_MAX
    ours, theirs = socket.socketpair()
    with theirs:
        heard.hear(packet, (ours.detach(),))
        assert theirs.recv(1) == b""
