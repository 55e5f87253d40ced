"""The keeper of the guests' network: the real program, with a kernel's TCP/IP in the place of each guest, and frames
that no kernel would send. Nothing leaves this host."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import re
import select
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.host.packets import PacketConnection, Refused, close_all
from banger.network.keeper import HeldTap, Keeper, Refusal, read_refusal
from tests.support import raw_frames
from tests.support.network_spaces import Missing
from tests.support.running_keeper import PROGRAM, TUN, CannotStart, RunningKeeper, acting_as, receive
from tests.support.stand_in import GATEWAY, GATEWAY_6, SOON_S, StandIn

pytestmark = pytest.mark.integration

NATIVE = Path(__file__).parents[2] / "native/network"
NOBODY = 65534
STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
FAR, FAR_6 = "93.184.216.34", "2606:2800:220:1::1"
ORIGINAL = {socket.AF_INET: (socket.SOL_IP, 20), socket.AF_INET6: (socket.IPPROTO_IPV6, 74)}
HOST_LACKS = {"user_namespaces_refused", "namespaces_refused", "tun_refused"}
BUDGET_S = 20.0  # for what takes milliseconds


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bk-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.contextmanager
def started(place: Path, *options: str, **how: object) -> Iterator[RunningKeeper]:
    try:
        keeper = RunningKeeper(place, *options, **how)  # type: ignore[arg-type]
    except CannotStart as exc:
        refusal = read_refusal(exc.said)
        if refusal is not None and refusal.code in HOST_LACKS:
            pytest.skip(f"capability missing: {exc.said.strip()}")
        raise
    with keeper:
        yield keeper


@pytest.fixture
def keeper(place: Path) -> Iterator[RunningKeeper]:
    with started(place) as made:
        yield made


@contextlib.contextmanager
def guest_of(keeper: RunningKeeper, number: int, key: str | None = None) -> Iterator[StandIn]:
    try:
        made = StandIn(keeper, number, key)
    except Missing as exc:
        pytest.skip(f"capability missing: {exc}")
    with made:
        yield made.bind()


@pytest.fixture
def guest(keeper: RunningKeeper) -> Iterator[StandIn]:
    with guest_of(keeper, 5) as made:
        yield made


@pytest.fixture
def other(keeper: RunningKeeper) -> Iterator[StandIn]:
    with guest_of(keeper, 6) as made:
        yield made


class Listeners:
    """What the relay gets: four listeners, and sockets for echo requests."""

    def __init__(self, keeper: RunningKeeper) -> None:
        self.tcp4, self.tcp6, self.udp4, self.udp6, *self.echoes = keeper.sockets("listeners")

    def __enter__(self) -> Listeners:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self.tcp4, self.tcp6, self.udp4, self.udp6, *self.echoes):
            one.close()

    def tcp(self, address: str) -> socket.socket:
        return self.tcp6 if ":" in address else self.tcp4

    def datagram(self, address: str) -> tuple[bytes, tuple[str, int], tuple[str, int]]:
        """What came, from where, and where to."""
        listener = self.udp6 if ":" in address else self.udp4
        data, notes, _, source = listener.recvmsg(65536, 1024)
        (raw,) = (note for level, kind, note in notes if (level, kind) == ORIGINAL[listener.family])
        packed = raw[8:24] if ":" in address else raw[4:8]
        target = socket.inet_ntop(listener.family, packed), int.from_bytes(raw[2:4], "big")
        return data, source[:2], target

    def is_silent(self) -> bool:
        """Nothing waits at any of them."""
        for one in (self.tcp4, self.tcp6, self.udp4, self.udp6):
            one.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                one.accept() if one.type == STREAM else one.recv(65536)
                return False
            one.settimeout(BUDGET_S)
        return True


@pytest.fixture
def listeners(keeper: RunningKeeper) -> Iterator[Listeners]:
    with Listeners(keeper) as made:
        yield made


def join(network: int, *guests: StandIn) -> None:
    for guest in guests:
        guest.keeper.ask(f"join {guest.key} {network}")


def talks(client: StandIn, server: StandIn, port: int, wait_s: float) -> bool:
    """Whether TCP and UDP work, IPv4 and IPv6, each within this time; half a yes is a failure."""
    worked = set()
    for v6 in (False, True):
        for kind in (STREAM, DATAGRAM):
            with server.serve(port, kind, v6=v6) as listener:
                to = (server.address_6 if v6 else server.address, port)
                worked.add(_passes(client, listener, kind, to, wait_s))
    assert len(worked) == 1
    return worked.pop()


def _passes(
    client: StandIn, listener: socket.socket, kind: socket.SocketKind, to: tuple[str, int], wait_s: float
) -> bool:
    listener.settimeout(wait_s)
    try:
        with client.dial(to, kind, timeout_s=wait_s) as dialed:
            dialed.send(b"over the wire")
            taker = listener.accept()[0] if kind == STREAM else listener.dup()
            with taker:
                taker.settimeout(wait_s)
                return taker.recv(100) == b"over the wire"
    except OSError:
        return False


def reaches(client: StandIn, server: StandIn, wait_s: float) -> bool:
    """The same for pings."""
    answers = {client.ping(to, timeout_s=wait_s) for to in (server.address, server.address_6)}
    assert len(answers) == 1
    return answers.pop()


@pytest.mark.parametrize("far", [FAR, FAR_6, GATEWAY, GATEWAY_6, "10.0.0.1", "169.254.169.254"])
def test_a_connection_comes_to_the_listener_with_its_target(
    guest: StandIn, listeners: Listeners, far: str
) -> None:
    with guest.dial((far, 443)) as dialed:
        accepted, peer = listeners.tcp(far).accept()
        with accepted:
            accepted.settimeout(BUDGET_S)
            assert accepted.getsockname()[:2] == (far, 443)
            assert peer[:2] == dialed.getsockname()[:2]
            assert peer[0] == (guest.address_6 if ":" in far else guest.address)
            dialed.send(b"there")
            assert accepted.recv(100) == b"there"
            accepted.send(b"back")
            assert dialed.recv(100) == b"back"


@pytest.mark.parametrize("far", [FAR, FAR_6, GATEWAY, GATEWAY_6])
@pytest.mark.parametrize("size", [1, 1400, 9000, 60000])
def test_a_datagram_comes_to_the_listener_with_its_target_also_in_fragments(
    guest: StandIn, listeners: Listeners, far: str, size: int
) -> None:
    with guest.dial((far, 53), DATAGRAM) as dialed:
        dialed.send(bytes(size))
        data, source, target = listeners.datagram(far)
        assert (len(data), source, target) == (size, dialed.getsockname()[:2], (far, 53))
        (answering,) = guest.keeper.sockets(f"udp {far} 53 {source[0]} {source[1]}")
        with answering:
            answering.send(bytes(size // 2))
            assert len(dialed.recv(65536)) == size // 2
            # From now on, the datagrams of this flow come to its own socket.
            dialed.send(b"again")
            assert answering.recv(100) == b"again"
    assert listeners.is_silent()


SPOOFED = [
    ("10.213.0.6", FAR),
    (GATEWAY, FAR),
    ("10.213.9.9", FAR),
    ("192.0.2.1", FAR),
    ("127.0.0.1", FAR),
    ("0.0.0.0", FAR),
    ("255.255.255.255", FAR),
    ("224.0.0.1", FAR),
    ("fd62:616e:6765::6", FAR_6),
    (GATEWAY_6, FAR_6),
    ("2001:db8::1", FAR_6),
    ("fe80::5", FAR_6),
    ("fe80::1", FAR_6),
    ("::1", FAR_6),
    ("::", FAR_6),
    ("ff02::1", FAR_6),
    ("::ffff:10.213.0.5", FAR_6),
]


def test_a_guest_sends_from_its_own_addresses_alone(
    guest: StandIn, other: StandIn, listeners: Listeners
) -> None:
    keeper_end = guest.gateway_hardware()
    join(3, guest, other)
    other.frames()
    for source, far in SPOOFED:
        peer = other.address_6 if ":" in far else other.address
        for target in (far, peer, GATEWAY_6 if ":" in far else GATEWAY):
            guest.send_frame(raw_frames.udp(keeper_end, guest.hardware, source, target, 53, b"spoofed"))
    # What is sent properly arrives, after all that was sent before.
    for source, far, peer in (
        (guest.address, FAR, other.address),
        (guest.address_6, FAR_6, other.address_6),
    ):
        for target in (peer, far):
            guest.send_frame(raw_frames.udp(keeper_end, guest.hardware, source, target, 53, b"honest"))
        assert listeners.datagram(far) == (b"honest", (source, 1000), (far, 53))
    assert listeners.is_silent()
    assert other.ping(guest.address) and other.ping(guest.address_6)
    came = other.frames()
    assert [frame for frame in came if b"spoofed" in frame] == []
    assert len([frame for frame in came if b"honest" in frame]) == 2


def test_a_guest_without_addresses_sends_nothing(
    keeper: RunningKeeper, guest: StandIn, listeners: Listeners
) -> None:
    keeper_end = guest.gateway_hardware()
    keeper.ask(f"unbind {guest.key}")
    for source, far in ((guest.address, FAR), (guest.address_6, FAR_6)):
        guest.send_frame(raw_frames.udp(keeper_end, guest.hardware, source, far, 53, b"unbound"))
    assert not guest.ping(GATEWAY, timeout_s=SOON_S)
    assert listeners.is_silent()
    guest.bind()
    assert guest.ping(GATEWAY) and guest.ping(GATEWAY_6)


def test_another_address_takes_the_place_of_the_first(keeper: RunningKeeper, guest: StandIn) -> None:
    keeper.ask(f"bind {guest.key} 10.213.77.7 -")
    assert keeper.ask("list")[0] == f"{guest.tap} {guest.key} 10.213.77.7 - -"
    assert not guest.ping(GATEWAY, timeout_s=SOON_S)
    guest.ip("address add 10.213.77.7/32 dev eth0", f"route replace default via {GATEWAY} src 10.213.77.7")
    guest.ip(f"route replace {GATEWAY} dev eth0 scope link src 10.213.77.7")
    assert guest.ping(GATEWAY)
    assert not guest.ping(GATEWAY_6, timeout_s=SOON_S)


def test_guests_reach_one_another_only_in_a_network_of_both(guest: StandIn, other: StandIn) -> None:
    assert not reaches(guest, other, SOON_S) and not reaches(other, guest, SOON_S)
    assert not talks(guest, other, 8001, SOON_S)
    join(7, guest)
    join(8, other)
    assert not reaches(guest, other, SOON_S) and not reaches(other, guest, SOON_S)
    join(7, other)
    assert reaches(guest, other, BUDGET_S) and reaches(other, guest, BUDGET_S)
    assert talks(guest, other, 8002, BUDGET_S) and talks(other, guest, 8003, BUDGET_S)
    with other.serve(8004) as listener, guest.dial((other.address, 8004)) as dialed:
        accepted, peer = listener.accept()
        with accepted:
            assert peer == dialed.getsockname()
            guest.keeper.ask(f"leave {guest.key} 7")
            accepted.settimeout(SOON_S)
            dialed.send(b"too late")
            with pytest.raises(OSError):
                accepted.recv(100)
    assert not reaches(guest, other, SOON_S) and not reaches(other, guest, SOON_S)
    assert not talks(other, guest, 8005, SOON_S)
    join(8, guest)
    assert reaches(guest, other, BUDGET_S)


def rings(bell: socket.socket, within_s: float) -> bool:
    return bool(select.select([bell], [], [], within_s)[0])


@pytest.mark.parametrize("v6", [False, True])
def test_a_bell_rings_for_neighbours_and_for_nothing_else(
    keeper: RunningKeeper, guest: StandIn, other: StandIn, v6: bool
) -> None:
    to = guest.address_6 if v6 else guest.address
    gateway, far = (GATEWAY_6, FAR_6) if v6 else (GATEWAY, FAR)
    assert guest.ping(gateway)  # so that the keeper knows where the guest is
    (bell,) = keeper.sockets(f"bell {guest.key}")
    with bell:
        with guest.serve(9000, v6=v6):
            (dialed,) = keeper.sockets("sockets tcp6 1" if v6 else "sockets tcp4 1")
            with dialed:
                dialed.connect((to, 9000))
        (from_far,) = keeper.sockets(f"udp {far} 53 {to} 9001")
        with from_far:
            from_far.send(b"an answer from outside")
        assert guest.ping(gateway)
        assert not other.ping(to, timeout_s=SOON_S)  # they share no network
        assert not rings(bell, SOON_S)
        join(7, guest, other)
        assert other.ping(to)
        assert rings(bell, BUDGET_S)
    (again,) = keeper.sockets(f"bell {guest.key}")
    with again:
        assert not rings(again, SOON_S)
        with guest.serve(9002, v6=v6), other.dial((to, 9002)):
            assert rings(again, BUDGET_S)
        with pytest.raises(PermissionError):
            again.setsockopt(socket.SOL_SOCKET, 27, 0)  # SO_DETACH_FILTER: to hear more than that
    with pytest.raises(Refused):
        keeper.ask("bell nobody")


@pytest.mark.parametrize("v6", [False, True])
def test_a_bell_rings_also_for_a_neighbour_who_waits_until_the_guest_is_found(
    keeper: RunningKeeper, other: StandIn, v6: bool
) -> None:
    with guest_of(keeper, 7) as silent:
        join(7, silent, other)
        silent.ip("link set eth0 arp off", "link set eth0 down")
        (bell,) = keeper.sockets(f"bell {silent.key}")
        with bell:
            assert not other.ping(silent.address_6 if v6 else silent.address, timeout_s=SOON_S)
            assert rings(bell, BUDGET_S)


def test_a_third_guest_is_in_no_network_of_the_others(
    keeper: RunningKeeper, guest: StandIn, other: StandIn
) -> None:
    join(1, guest, other)
    with guest_of(keeper, 9) as third:
        assert not third.ping(guest.address, timeout_s=SOON_S)
        keeper_end = third.gateway_hardware()
        guest.frames()
        for target in (guest.address, guest.address_6):
            source = third.address_6 if ":" in target else third.address
            # Also straight to the hardware of the others, and to everybody's.
            for hardware in (keeper_end, bytes.fromhex(guest.hardware.replace(":", "")), b"\xff" * 6):
                third.send_frame(raw_frames.udp(hardware, third.hardware, source, target, 53, b"third"))
        assert third.ping(GATEWAY)
        assert [frame for frame in guest.frames() if b"third" in frame] == []


def test_nothing_reaches_the_host(keeper: RunningKeeper, guest: StandIn, listeners: Listeners) -> None:
    with socket.socket(socket.AF_INET6) as open_port, socket.socket(socket.AF_INET, DATAGRAM) as route:
        open_port.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        open_port.bind(("::", 0))
        open_port.listen()
        open_port.settimeout(0)
        port = open_port.getsockname()[1]
        addresses = [GATEWAY, GATEWAY_6, "127.0.0.53"]
        with contextlib.suppress(OSError):
            route.connect((FAR, 9))
            addresses.append(route.getsockname()[0])
        guest.ip(
            "address del 127.0.0.1/8 dev lo", f"route replace 127.0.0.53 via {GATEWAY} src {guest.address}"
        )
        for address in addresses:
            with contextlib.suppress(OSError), guest.dial((address, port), timeout_s=SOON_S):
                accepted, _ = listeners.tcp(address).accept()
                with accepted:
                    assert accepted.getsockname()[:2] == (address, port)
        with pytest.raises(BlockingIOError):
            open_port.accept()
    for address in addresses[2:]:
        assert not guest.ping(address, timeout_s=SOON_S)


@pytest.mark.parametrize("v6", [False, True])
def test_a_socket_of_the_namespace_reaches_a_guest(keeper: RunningKeeper, guest: StandIn, v6: bool) -> None:
    with guest.serve(8080, v6=v6) as listener:
        (dialing,) = keeper.sockets(f"sockets tcp{6 if v6 else 4} 1")
        with dialing:
            dialing.connect((guest.address_6 if v6 else guest.address, 8080))
            accepted, peer = listener.accept()
            with accepted:
                assert peer[0] == (GATEWAY_6 if v6 else GATEWAY)
                dialing.sendall(bytes(50_000))
                got = 0
                while got < 50_000:
                    got += len(accepted.recv(1 << 16))
                accepted.send(b"all of it")
                assert dialing.recv(100) == b"all of it"
    (refused,) = keeper.sockets(f"sockets tcp{6 if v6 else 4} 1")
    with refused, pytest.raises(ConnectionRefusedError):
        refused.connect((guest.address_6 if v6 else guest.address, 8081))


def test_a_tap_is_used_again_and_nothing_of_the_old_guest_is_in_it(keeper: RunningKeeper) -> None:
    name, (descriptor,) = keeper.ask("tap old")
    with open(descriptor, "rb", buffering=0):
        keeper.ask("bind old 10.213.0.5 fd62:616e:6765::5")
        keeper.ask("join old 7")
        (to_old,) = keeper.sockets("udp 10.213.0.1 1000 10.213.0.5 1000")
        with to_old:
            to_old.send(b"for the old guest")  # which makes the kernel ask for its hardware
        # While the old VMM has the tap open, nobody else gets it.
        keeper.ask("free old")
        other_name, (other,) = keeper.ask("tap new")
        os.close(other)
        assert other_name != name
        keeper.ask("free new")
    names = set()
    for key in ("first", "second"):
        again, (reading,) = keeper.ask(f"tap {key}")
        names.add(again)
        with open(reading, "rb", buffering=0) as file:
            os.set_blocking(reading, False)
            frames = [frame for _ in range(100) if (frame := file.read(4096))]
            assert [frame for frame in frames if socket.inet_aton("10.213.0.5") in frame] == []
    assert names == {name, other_name}
    listed = sorted(line.split()[1:] for line in keeper.ask("list")[0].splitlines())
    assert listed == [["first", "-", "-", "-"], ["second", "-", "-", "-"]]


def test_the_next_guest_of_a_tap_has_none_of_the_networks(
    keeper: RunningKeeper, guest: StandIn, other: StandIn
) -> None:
    join(7, guest, other)
    assert guest.ping(other.address)
    guest.close()
    keeper.ask(f"free {guest.key}")
    with guest_of(keeper, 5, "tap-next") as following:
        assert following.tap == guest.tap
        assert following.ping(GATEWAY)
        assert not following.ping(other.address, timeout_s=SOON_S)


TUNSETSNDBUF, TUNSETVNETHDRSZ, TUNATTACHFILTER, TUNSETPERSIST = 0x400454D4, 0x400454D8, 0x401054D5, 0x400454CB


@pytest.mark.parametrize("stays", [True, False])
def test_what_a_vmm_did_to_its_tap_is_undone(keeper: RunningKeeper, stays: bool) -> None:
    name, (descriptor,) = keeper.ask("tap old")
    keeper.ask("join old 7")
    nothing = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # a filter: no byte of any frame
    with open(descriptor, "rb", buffering=0):
        for request, number in ((TUNSETSNDBUF, 1), (TUNSETVNETHDRSZ, 12)):
            fcntl.ioctl(descriptor, request, struct.pack("i", number))
        fcntl.ioctl(descriptor, TUNATTACHFILTER, struct.pack("HxxxxxxQ", 1, ctypes.addressof(nothing)))
        if not stays:
            fcntl.ioctl(descriptor, TUNSETPERSIST, 0)
    keeper.ask("free old")
    with guest_of(keeper, 5) as guest:
        assert guest.tap == name
        assert guest.ping(GATEWAY) and guest.ping(GATEWAY_6)
        assert keeper.ask("list")[0].endswith(" -")


def test_the_same_key_has_the_same_tap(keeper: RunningKeeper) -> None:
    name, first = keeper.ask("tap a")
    again, second = keeper.ask("tap a")
    assert name == again
    close_all([*first, *second])


def inside(keeper: RunningKeeper, *argv: str) -> str:
    """What a program prints in the keeper's namespaces."""
    target = f"--target={keeper.process.pid}"
    its_own, ours = (os.readlink(f"/proc/{process}/ns/user") for process in (keeper.process.pid, "self"))
    user = [] if its_own == ours else ["--user", "--preserve-credentials"]  # root may do without one
    return subprocess.run(
        ["nsenter", target, *user, "--net", "--", *argv],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"},
    ).stdout


def test_few_packets_wait_for_a_guest(keeper: RunningKeeper, guest: StandIn) -> None:
    """Each may be long, and the kernel counts it for nobody."""
    assert " qlen 256" in inside(keeper, "ip", "link", "show", guest.tap)


def test_another_keeper_follows_one_that_was_killed(
    keeper: RunningKeeper, guest: StandIn, other: StandIn, listeners: Listeners
) -> None:
    join(7, guest, other)
    join(9, guest)
    spare_name, spare = keeper.ask("tap spare")
    close_all(spare)
    keeper.ask("free spare")
    inside(keeper, "ip", "-6", "rule", "add", "iif", other.tap, "lookup", "1009", "pref", "20")
    inside(keeper, "ip", "route", "add", "10.213.0.99", "dev", other.tap, "table", "1011", "proto", "static")
    listed = sorted(keeper.ask("list")[0].splitlines())
    _, namespaces = keeper.ask("namespaces")
    with guest.dial((FAR, 80)) as dialed, listeners.tcp4.accept()[0] as accepted:
        accepted.settimeout(BUDGET_S)
        keeper.kill()
        # What is there goes on without a keeper.
        dialed.send(b"while it is dead")
        assert accepted.recv(100) == b"while it is dead"
        assert guest.ping(other.address)
        with started(keeper.socket.parent, namespaces=namespaces) as following:
            close_all(namespaces)
            dialed.send(b"and after")
            assert accepted.recv(100) == b"and after"
            assert sorted(following.ask("list")[0].splitlines()) == listed
            rules = [inside(following, "ip", family, "rule") for family in ("-4", "-6")]
            assert [rule.count("iif vm") for rule in rules] == [3, 3]
            assert "10.213.0.99" not in inside(following, "ip", "route", "show", "table", "all")
            assert guest.ping(other.address) and guest.ping(other.address_6)
            with Listeners(following) as new:
                with guest.dial((FAR, 81)), new.tcp4.accept()[0] as late:
                    assert late.getsockname() == (FAR, 81)
                with guest.dial((FAR_6, 53), DATAGRAM) as asking:
                    asking.send(b"question")
                    assert new.datagram(FAR_6)[2] == (FAR_6, 53)
            with pytest.raises(Refused) as held:
                following.ask(f"tap {guest.key}")
            assert held.value.code == "held"
            following.ask(f"leave {guest.key} 7")
            assert not guest.ping(other.address, timeout_s=SOON_S)
            name, again = following.ask("tap another")
            assert name == spare_name
            close_all(again)
            guest.close()
            name, again = following.ask(f"tap {guest.key}")
            assert name == guest.tap
            close_all(again)


def test_no_other_user_is_heard(keeper: RunningKeeper) -> None:
    if os.geteuid() != 0:
        pytest.skip("capability missing: only root can be another user")
    keeper.socket.chmod(0o666)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.settimeout(BUDGET_S)
        with acting_as(NOBODY):
            stranger.connect(str(keeper.socket))
        with pytest.raises(Refused) as refused:
            receive(stranger)
        assert refused.value.code == "refused"
        with pytest.raises(ConnectionResetError):
            receive(stranger)


def test_an_ordinary_user_keeps_guests_too(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("capability missing: only root can be another user")
    program = shutil.copy(PROGRAM, place / "keeper")
    device = place / "tun"
    os.mknod(device, stat.S_IFCHR | 0o666, TUN.stat().st_rdev)
    device.chmod(0o666)

    def start(*namespaces: int) -> contextlib.AbstractContextManager[RunningKeeper]:
        return started(place, f"--tun={device}", program=Path(program), user=NOBODY, namespaces=namespaces)

    with contextlib.ExitStack() as stack:
        keeper = stack.enter_context(start())
        guest, other = (stack.enter_context(guest_of(keeper, number)) for number in (5, 6))
        listeners = stack.enter_context(Listeners(keeper))
        join(7, guest, other)
        assert reaches(guest, other, BUDGET_S) and guest.ping(GATEWAY)
        with guest.dial((FAR, 80)) as dialed, listeners.tcp4.accept()[0] as accepted:
            assert accepted.getsockname() == (FAR, 80)
            _, namespaces = keeper.ask("namespaces")
            keeper.kill()
            following = stack.enter_context(start(*namespaces))
            close_all(namespaces)
            dialed.send(b"x")
            assert accepted.recv(1) == b"x"
            assert len(following.ask("list")[0].splitlines()) == 2


def refusal_of(start: object) -> Refusal:
    with pytest.raises(CannotStart) as failed:
        start()  # type: ignore[operator]
    assert failed.value.code == 126
    refusal = read_refusal(failed.value.said)
    assert refusal is not None
    return refusal


def test_a_host_without_taps_is_told_by_name(place: Path, keeper: RunningKeeper) -> None:
    (place / "second").mkdir()
    refusal = refusal_of(lambda: RunningKeeper(place / "second", f"--tun={place}/not-there"))
    assert refusal.code == "tun_refused"
    assert "not-there" in refusal.detail and "tun" in refusal.reason


def test_a_host_without_nftables_is_told_by_name(place: Path, keeper: RunningKeeper) -> None:
    (place / "second").mkdir()
    for program in (f"{place}/not-there", "/bin/false"):
        assert (
            refusal_of(lambda p=program: RunningKeeper(place / "second", f"--nft={p}")).code
            == "filter_refused"
        )


def test_a_host_without_user_namespaces_is_told_by_name(place: Path) -> None:
    """The kernel gives none to a process whose root directory is not that of its mounts."""
    shutil.copy(PROGRAM, place / "program")
    wrapper = place / "keeper"
    if os.geteuid() != 0:
        pytest.skip("capability missing: only root can be another user")
    wrapper.write_text(f'#!/bin/sh\nexec chroot --userspec={NOBODY}:{NOBODY} {place} /program "$@"\n')
    wrapper.chmod(0o755)
    refusal = refusal_of(lambda: RunningKeeper(place, program=wrapper))
    assert refusal.code == "user_namespaces_refused"


def test_root_does_without_a_user_namespace(place: Path) -> None:
    """Where the host allows none: here, the inside of a user namespace that has had its last."""
    if subprocess.run(["unshare", "--user", "true"], capture_output=True).returncode != 0:
        pytest.skip("capability missing: user namespaces")
    wrapper = place / "keeper"
    none_left = "echo 0 >/proc/sys/user/max_user_namespaces"
    wrapper.write_text(
        f'#!/bin/sh\nexec unshare --user --map-root-user sh -c \'{none_left}; exec {PROGRAM} "$@"\' keeper "$@"\n'
    )
    wrapper.chmod(0o755)
    with contextlib.ExitStack() as stack:
        keeper = stack.enter_context(started(place, program=wrapper))
        guest, other = (stack.enter_context(guest_of(keeper, number)) for number in (5, 6))
        listeners = stack.enter_context(Listeners(keeper))
        join(7, guest, other)
        assert reaches(guest, other, BUDGET_S) and guest.ping(GATEWAY)
        with guest.dial((FAR, 80)), listeners.tcp4.accept()[0] as accepted:
            assert accepted.getsockname() == (FAR, 80)
        _, namespaces = keeper.ask("namespaces")
        keeper.kill()
        enter = f"nsenter --user=/proc/self/fd/{namespaces[0]} --preserve-credentials"
        wrapper.write_text(f'#!/bin/sh\nexec {enter} {PROGRAM} "$@"\n')
        following = stack.enter_context(started(place, program=wrapper, namespaces=namespaces))
        close_all(namespaces)
        assert len(following.ask("list")[0].splitlines()) == 2
        following.ask(f"leave {guest.key} 7")
        assert not reaches(guest, other, SOON_S)


def sanitized(place: Path) -> Path:
    """The keeper, under the address and undefined-behaviour sanitizers."""
    if shutil.which("gcc") is None or shutil.which("make") is None:
        pytest.skip("capability missing: gcc and make")
    target = place / "keeper"
    done = subprocess.run(
        ["make", "-C", str(NATIVE), f"CHECK_OUT={place}", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


HOSTILE = [
    b"\0",
    b" ",
    b"\n",
    b"tap",
    b"tap ",
    b" tap a",
    b"tap a ",
    b"tap  a",
    b"tap a b",
    b"tap a\0b",
    b"tap " + b"k" * 65,
    b"tap a/b",
    b"tap \xff\xfe",
    b"TAP a",
    b"free not-there",
    b"bind not-there 10.213.0.5 -",
    b"bind a 10.213.0.5",
    b"bind a 10.213.0.1 -",
    b"bind a 10.213.0.0 -",
    b"bind a 10.214.0.5 -",
    b"bind a 8.8.8.8 -",
    b"bind a - fd62:616e:6765::1",
    b"bind a - fd62:616e:6765::",
    b"bind a - ::ffff:10.213.0.5",
    b"bind a - fe80::5",
    b"bind a fd62:616e:6765::5 10.213.0.5",
    b"bind a 10.213.0.05 -",
    b"bind a 10.213.5 -",
    b"bind a - fd62:616e:6765::5%vm0",
    b"bind a 10.213.0.66 -",
    b"join a 0",
    b"join a 60001",
    b"join a -1",
    b"join a 07",
    b"join a 99999999999999999999",
    b"join a 7x",
    b"join not-there 7",
    b"leave not-there 7",
    b"list x",
    b"list 1 2",
    b"sockets tcp4 0",
    b"sockets tcp4 33",
    b"sockets udp4 1",
    b"udp 8.8.8.8 53 9.9.9.9 53",
    b"udp 8.8.8.8 53 10.213.0.1 53",
    b"udp 8.8.8.8 53 10.213.0.5 0",
    b"udp 8.8.8.8 65536 10.213.0.5 1",
    b"udp ::1 53 10.213.0.5 1",
    b"bell",
    b"bell a b",
    b"bell /etc",
    b"namespaces x",
    b"listeners x",
    b"x" * 513,
    b"x" * 100_000,
    bytes(range(256)),
]


def open_files(keeper: RunningKeeper) -> int:
    return len(os.listdir(f"/proc/{keeper.process.pid}/fd"))


def test_strange_requests_are_refused_and_change_nothing(place: Path) -> None:
    with started(place, program=sanitized(place)) as keeper:
        close_all(keeper.ask("tap a")[1])
        close_all(keeper.ask("tap b")[1])
        keeper.ask("bind b 10.213.0.66 -")
        before = keeper.ask("list"), open_files(keeper)
        with keeper.connect() as stranger:
            for request in HOSTILE:
                stranger.send(request)
                with pytest.raises(Refused) as refused:
                    receive(stranger)
                assert refused.value.code in ("invalid", "unknown", "taken"), request
            # Descriptors that nobody asked for are not kept.
            for _ in range(50):
                socket.send_fds(stranger, [b"list"], [0, 1, 2])
                receive(stranger)
            assert (keeper.ask("list"), open_files(keeper)) == (before[0], before[1] + 1)
        assert "Sanitizer" not in keeper.said() and "runtime error" not in keeper.said()


def memory_kib(keeper: RunningKeeper) -> int:
    status = Path(f"/proc/{keeper.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1])


def test_who_asks_and_does_not_listen_holds_up_nobody(keeper: RunningKeeper) -> None:
    files, memory = open_files(keeper), memory_kib(keeper)
    with keeper.connect() as flooding:
        flooding.settimeout(BUDGET_S)
        with contextlib.suppress(OSError):
            for number in range(20_000):
                flooding.send(b"sockets tcp4 32")
                if number % 100 == 0:
                    keeper.ask("list")
        keeper.ask("list")
    for _ in range(2000):
        keeper.ask("list")
    assert open_files(keeper) <= files + 1
    assert memory_kib(keeper) <= memory + 256


def test_connections_are_bounded(keeper: RunningKeeper) -> None:
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(keeper.connect()) for _ in range(60)]
        served = 0
        for one in crowd:
            with contextlib.suppress(OSError, Refused):
                one.send(b"list")
                receive(one)
                served += 1
        assert served == 31
        keeper.ask("list")
    deadline = time.monotonic() + BUDGET_S
    while open_files(keeper) > 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    with keeper.connect() as late:
        late.send(b"list")
        receive(late)


def test_taps_and_networks_are_bounded(keeper: RunningKeeper) -> None:
    close_all(keeper.ask("tap a")[1])
    for network in range(1, 33):
        keeper.ask(f"join a {network}")
    with pytest.raises(Refused) as full:
        keeper.ask("join a 60000")
    assert full.value.code == "full"
    keeper.ask("free a")
    assert keeper.ask("list") == ("", ())
    assert inside(keeper, "ip", "rule").count("iif vm") == 0


def test_a_long_list_comes_in_pages(keeper: RunningKeeper) -> None:
    keys = [f"{number:064}" for number in range(40)]
    for number, key in enumerate(keys):
        close_all(keeper.ask(f"tap {key}")[1])
        keeper.ask(f"bind {key} 10.213.1.{number} fd62:616e:6765::1:{number:x}")
        for network in range(59_900, 59_932):
            keeper.ask(f"join {key} {network}")

    async def listed() -> tuple[HeldTap, ...]:
        with await PacketConnection.connect(keeper.socket) as connection:
            return await Keeper(connection.ask).list()

    found = asyncio.run(listed())
    assert [tap.key for tap in found] == keys
    assert found[7].address == "10.213.1.7" and found[7].address_6 == "fd62:616e:6765::1:7"
    assert all(tap.networks == frozenset(range(59_900, 59_932)) for tap in found)


def test_a_guest_cannot_fill_the_kernels_memory_of_neighbours(keeper: RunningKeeper, guest: StandIn) -> None:
    """The table of neighbours is one for the whole host, and small."""
    for number in range(2, 400):
        guest.send_frame(raw_frames.arp_request(guest.hardware, f"10.213.3.{number % 256}", GATEWAY))
        guest.send_frame(raw_frames.arp_request(guest.hardware, guest.address, f"10.213.3.{number % 256}"))
        guest.send_frame(raw_frames.neighbour_solicitation(guest.hardware, f"fe80::5:{number:x}", "fe80::1"))
        guest.send_frame(
            raw_frames.neighbour_solicitation(guest.hardware, f"fd62:616e:6765::5:{number:x}", "fe80::1")
        )
    assert len(inside(keeper, "ip", "neigh").splitlines()) < 60
    assert guest.ping(GATEWAY)


def test_what_a_keeper_costs_is_printed(place: Path) -> None:
    begun = time.monotonic()
    with started(place) as keeper:
        print(
            f"\nkeeper: answers {1e3 * (time.monotonic() - begun):.0f} ms after its start, {memory_kib(keeper)} KiB"
        )
        begun = time.monotonic()
        for number in range(50):
            close_all(keeper.ask(f"tap {number}")[1])
            keeper.ask(f"bind {number} 10.213.1.{number} fd62:616e:6765::1:{number:x}")
            keeper.ask(f"join {number} 7")
        taken = time.monotonic() - begun
        print(
            f"keeper: {1e3 * taken / 50:.2f} ms for a new tap with addresses and network, {memory_kib(keeper)} KiB"
        )
        begun = time.monotonic()
        for number in range(50):
            keeper.ask(f"free {number}")
        freed = time.monotonic() - begun
        begun = time.monotonic()
        for number in range(50):
            close_all(keeper.ask(f"tap {number}")[1])
        again = time.monotonic() - begun
        print(f"keeper: {1e3 * freed / 50:.2f} ms to free a tap, {1e3 * again / 50:.2f} ms to use one again")
    assert keeper.process.returncode is not None
