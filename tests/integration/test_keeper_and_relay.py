"""Keeper and relay together, both real: what two guests behind taps reach of a world that the test makes, and what is
left of it when one of the two is killed."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.host.packets import close_all
from banger.network.relay import MachineTold, Port
from tests.support.house import (
    DATAGRAM,
    RELAY,
    House,
    eventually,
    house_or_skip,
    open_house,
    skipping_where_missing,
)
from tests.support.network_spaces import FAR, HOST, OUTSIDE, OUTSIDE_6
from tests.support.no_ipv6 import without_ipv6
from tests.support.running_keeper import PROGRAM, RunningKeeper
from tests.support.stand_in import GATEWAY, SOON_S, StandIn

pytestmark = pytest.mark.integration


@pytest.fixture
def house() -> Iterator[House]:
    with house_or_skip() as made:
        yield made


def private_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def test_each_guest_reaches_the_outside_and_is_reached_through_its_port(house: House) -> None:
    for guest in house.guests:
        for address in (FAR, OUTSIDE, OUTSIDE_6):
            house.echoes(guest, (address, 80))
    with house.spaces.host.socket(bind=("0.0.0.0", 8080), listen=8) as published:
        number = published.fileno()
        house.relay.ask(lambda relay: relay.publish(Port("web", "vm-6", "tcp", 80), number))
    with (
        house.guests[1].serve(80) as service,
        house.spaces.outside.socket(to=(HOST, 8080)) as client,
    ):
        server, source = service.accept()
        with server:
            assert source[0] == GATEWAY
            client.sendall(b"from outside")
            assert server.recv(100) == b"from outside"


def allow_echoes(house: House) -> None:
    """For each user of the host: its kernel's own setting is for none."""
    house.spaces.host.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 0")


def denied(house: House) -> int:
    return house.relay.ask(lambda relay: relay.counters("vm-5")).denied


def is_told_of_no_answer(guest: StandIn, address: str) -> bool:
    """Whether an echo request is answered with the error that says that it may not go there."""
    v6 = ":" in address
    protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
    with guest.open_socket(DATAGRAM, v6=v6, protocol=protocol) as echo:
        echo.connect((address, 0))
        echo.send(bytes([128 if v6 else 8, 0, 0, 0, 0, 0, 0, 1]) + b"banger")
        try:
            return not echo.recv(2048)
        except OSError as exc:
            return exc.errno == (errno.EACCES if v6 else errno.EHOSTUNREACH)


def test_the_outside_answers_pings(house: House) -> None:
    guest, other = house.guests
    assert not guest.ping(
        OUTSIDE, timeout_s=SOON_S
    )  # the host allows no sockets for it, and the kernel must not answer
    assert guest.ping(GATEWAY)
    allow_echoes(house)
    for address in (OUTSIDE, FAR, OUTSIDE_6):
        assert guest.ping(address) and other.ping(address), address
    assert not guest.ping("93.184.215.77", timeout_s=SOON_S)  # nobody is there
    assert not guest.ping(other.address, timeout_s=SOON_S)
    assert denied(house) == 0


def test_pings_go_where_the_policy_allows_and_denials_are_counted(house: House) -> None:
    allow_echoes(house)
    guest, other = house.guests
    for number, address in enumerate((HOST, "10.1.2.3", "fd12::1", "169.254.169.254"), 1):
        assert is_told_of_no_answer(guest, address), address
        assert denied(house) == number
    policy = ("base internal", f"allow {FAR} 443", f"allow {OUTSIDE_6}")
    house.relay.tell(
        MachineTold(key="vm-5", addresses=(guest.address, guest.address_6), policy=policy),
    )
    assert guest.ping(FAR) and guest.ping(OUTSIDE_6)
    assert is_told_of_no_answer(guest, OUTSIDE) and other.ping(OUTSIDE)
    house.relay.ask(lambda relay: relay.forget("vm-5"))
    assert not guest.ping(FAR, timeout_s=SOON_S) and other.ping(FAR)


def test_a_host_that_allows_no_sockets_for_pings_may_lend_raw_ones(house: House) -> None:
    protocols = ((socket.AF_INET, socket.IPPROTO_ICMP), (socket.AF_INET6, socket.IPPROTO_ICMPV6))
    house.relay.kill()
    with contextlib.ExitStack() as stack:
        lent = [
            stack.enter_context(
                house.spaces.host.socket(socket.SOCK_RAW, v6=family == socket.AF_INET6, protocol=protocol)
            ).fileno()
            for family, protocol in protocols
        ]
        house.relay.start(*(f"--echo={number}" for number in lent), lent=lent)
    house.tell()
    guest, other = house.guests
    for address in (OUTSIDE, FAR, OUTSIDE_6):
        assert guest.ping(address) and other.ping(address), address
    assert is_told_of_no_answer(guest, HOST)


def test_a_flood_of_pings_is_one_guests_own(house: House) -> None:
    allow_echoes(house)
    guest, other = house.guests
    request = bytes([8, 0, 0, 0, 0, 0, 0, 1]) + bytes(1000)
    with guest.open_socket(DATAGRAM, protocol=socket.IPPROTO_ICMP, timeout_s=SOON_S) as echo:
        echo.connect((FAR, 0))
        for _ in range(2000):
            with contextlib.suppress(OSError):
                echo.send(request)
        answered = 0
        with contextlib.suppress(TimeoutError):
            while echo.recv(2048):
                answered += 1
        assert 0 < answered < 1000
    assert other.ping(FAR)


def test_a_flood_of_datagrams_leaves_room_for_other_guests(house: House) -> None:
    """Of a guest that begins flow after flow, faster than the relay takes them: it takes none for a moment."""
    guest, other = house.guests
    server = house.serve((FAR, 80), DATAGRAM)
    assert house.relay.process is not None
    house.relay.process.send_signal(signal.SIGSTOP)
    try:
        with guest.open_socket(DATAGRAM) as flood:
            for port in range(20000, 40000):
                flood.sendto(b"x", (FAR, port))
        sender = house.opened.enter_context(other.dial((FAR, 80), DATAGRAM))
        sender.send(b"of another")
    finally:
        house.relay.process.send_signal(signal.SIGCONT)
    assert server.recv(100) == b"of another"


def test_a_flow_of_datagrams_is_not_slowed(house: House) -> None:
    guest = house.guests[0]
    server = house.serve((FAR, 80), DATAGRAM)
    server.settimeout(SOON_S)
    with guest.dial((FAR, 80), DATAGRAM) as sender:
        sender.send(b"first")
        assert server.recv(100) == b"first"
        heard = 0
        for _ in range(50):  # of 200 each, so that the buffers of small hosts hold them
            for _ in range(200):
                sender.send(b"x" * 100)
            with contextlib.suppress(TimeoutError):
                for _ in range(200):
                    heard += bool(server.recv(200))
        assert heard > 8000


def test_pings_are_answered_by_the_next_keeper_and_relay(house: House) -> None:
    allow_echoes(house)
    guest = house.guests[0]
    assert guest.ping(FAR)
    keeper = house.keepers[-1]
    _, namespaces = keeper.ask("namespaces")
    keeper.kill()
    assert guest.ping(FAR)
    house.keepers.append(RunningKeeper(keeper.socket.parent, namespaces=namespaces))
    close_all(namespaces)
    assert guest.ping(FAR)
    house.relay.kill()
    house.relay.start()
    house.tell()

    def works() -> None:
        assert guest.ping(FAR, timeout_s=SOON_S)

    eventually(works)


def test_the_host_is_closed_to_guests(house: House) -> None:
    with house.spaces.host.socket(bind=("0.0.0.0", 8080), listen=8):
        for address in (GATEWAY, HOST, "169.254.169.254"):
            with pytest.raises(ConnectionResetError), house.guests[0].dial((address, 8080)) as dialed:
                dialed.recv(1)


def test_flows_go_on_when_the_keeper_is_killed_and_new_ones_when_there_is_another(house: House) -> None:
    listener = house.serve((FAR, 80))
    with house.guests[0].dial((FAR, 80)) as dialed:
        server, _ = listener.accept()
        with server:
            keeper = house.keepers[-1]
            _, namespaces = keeper.ask("namespaces")
            keeper.kill()
            dialed.sendall(b"nobody keeps")
            assert server.recv(100) == b"nobody keeps"
            house.keepers.append(RunningKeeper(keeper.socket.parent, namespaces=namespaces))
            close_all(namespaces)
            dialed.sendall(b"somebody does")
            assert server.recv(100) == b"somebody does"
    listener.close()
    for guest in house.guests:
        eventually(lambda guest=guest: house.echoes(guest, (FAR, 80)))  # type: ignore[misc]


def test_a_new_relay_serves_the_listeners_of_the_keeper(house: House) -> None:
    house.echoes(house.guests[0], (FAR, 80))
    house.relay.kill()
    house.relay.start()
    # It waits in the listener, and is refused: nothing is known yet.
    with pytest.raises(ConnectionResetError), house.guests[0].dial((FAR, 80)) as early:
        early.recv(1)
    house.tell()
    for guest in house.guests:
        eventually(lambda guest=guest: house.echoes(guest, (FAR, 80)))  # type: ignore[misc]


def test_a_host_without_ipv6_serves_guests_with_ipv4() -> None:
    with tempfile.TemporaryDirectory(prefix="bh-") as name, skipping_where_missing():
        directory = Path(name)
        keeper, relay = (without_ipv6(program, directory) for program in (PROGRAM, RELAY))
        with open_house(directory, keeper, relay) as house:
            allow_echoes(house)
            guest, other = house.guests
            for key in (guest.key, other.key):
                house.keepers[-1].ask(f"join {key} 7")
            first = house.keepers[-1]
            _, namespaces = first.ask("namespaces")
            first.kill()
            house.keepers.append(RunningKeeper(directory, program=keeper, namespaces=namespaces))
            close_all(namespaces)
            assert f"{guest.key} {guest.address} - 7" in house.keepers[-1].ask("list")[0]
            eventually(lambda: house.echoes(guest, (FAR, 80)))
            assert guest.ping(FAR) and guest.ping(other.address)
            assert not guest.ping(OUTSIDE_6, timeout_s=SOON_S)
            assert not guest.ping(other.address_6, timeout_s=SOON_S)
            house.keepers[-1].ask(f"leave {guest.key} 7")
            assert not guest.ping(other.address, timeout_s=SOON_S)


def test_both_programs_are_small(house: House) -> None:
    house.echoes(house.guests[0], (FAR, 80))
    assert house.relay.process is not None
    used = private_kib(house.relay.process.pid) + private_kib(house.keepers[-1].process.pid)
    assert used < 2048
    assert os.path.getsize(RELAY) < 1 << 20
