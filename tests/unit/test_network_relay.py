"""Requests and events of the relay, as text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from banger.host.packets import Answer
from banger.network.relay import Counters, Denied, Knock, Listed, MachineTold, Port, Relay, read_event


class Script:
    """Answers requests from a table."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, tuple[int, ...]]] = []

    async def ask(self, request: str, descriptors: Sequence[int]) -> Answer:
        self.asked.append((request, tuple(descriptors)))
        return Answer(self.answers.get(request, ""))


def test_a_machine_is_told_in_lines() -> None:
    told = MachineTold(
        key="vm-1",
        addresses=("10.213.0.5", "fd62:616e:6765::5"),
        policy=("base internet", "deny 1.1.1.1 *"),
        names=(("db", ("10.213.0.6",)),),
        dns=("9.9.9.9",),
        asleep=True,
    )
    assert told.packet().splitlines() == [
        "machine vm-1",
        "base internet",
        "deny 1.1.1.1 *",
        "asleep yes",
        "address 10.213.0.5 fd62:616e:6765::5",
        "dns 9.9.9.9",
        "name db 10.213.0.6",
    ]
    assert MachineTold(key="vm-1").packet() == "machine vm-1\nasleep no"


def test_requests_have_their_words_and_descriptors() -> None:
    script = Script({})
    relay = Relay(script.ask)

    async def ask() -> None:
        await relay.forget("vm-1")
        await relay.publish(Port("p", "vm-1", "udp", 53), 7)
        await relay.unpublish("p")

    asyncio.run(ask())
    assert script.asked == [("forget vm-1", ()), ("publish p vm-1 udp 53", (7,)), ("unpublish p", ())]


def test_a_long_list_comes_in_pieces() -> None:
    script = Script(
        {
            "list 0": "machine vm-1 10.213.0.5 fd62::5\nmachine vm-2\n",
            "list 2": "port p vm-1 tcp 80\n",
        }
    )
    listed = asyncio.run(Relay(script.ask).list())
    assert listed == Listed(
        {"vm-1": ("10.213.0.5", "fd62::5"), "vm-2": ()},
        (Port("p", "vm-1", "tcp", 80),),
    )


def test_counters_are_read_by_name() -> None:
    script = Script({"counters vm-1": "denied=1 flows=2 sent=3 received=4 opened=5 refused=6 newer=7"})
    assert asyncio.run(Relay(script.ask).counters("vm-1")) == Counters(1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("packet", "event"),
    [
        ("knock vm-1", Knock("vm-1")),
        (
            "denied vm-1 tcp 10.0.0.1 22 closed private 10.0.0.0/8 3",
            Denied("vm-1", "tcp", "10.0.0.1", 22, "closed private 10.0.0.0/8", 3),
        ),
        (
            "denied vm-1 udp fd00::1 53 deny fd00::/8 1",
            Denied("vm-1", "udp", "fd00::1", 53, "deny fd00::/8", 1),
        ),
        ("", None),
        ("knock", None),
        ("denied vm-1 tcp 10.0.0.1 22 3", None),
        ("denied vm-1 icmp fd00::1 0 rule 3", Denied("vm-1", "icmp", "fd00::1", 0, "rule", 3)),
        ("denied vm-1 sctp 10.0.0.1 22 rule 3", None),
        ("denied vm-1 tcp 10.0.0.1 x rule 3", None),
        ("newer vm-1", None),
    ],
)
def test_events_are_read(packet: str, event: Denied | Knock | None) -> None:
    assert read_event(packet) == event
