"""The relay, between a guest and the outside: real sockets in namespaces of their own, a real kernel on each side, and
a keeper that the test plays. Nothing leaves this host."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from banger.host.packets import Refused
from banger.network.relay import Counters, Denied, Knock, Listed, MachineTold, Port, Reach, read_event
from tests.support.network_spaces import (
    FAR,
    GATEWAY,
    GATEWAY_6,
    GUEST,
    GUEST_6,
    HOST,
    NOWHERE,
    OUTSIDE,
    OUTSIDE_6,
    STRANGER,
    Address,
    Missing,
    Space,
    Spaces,
    open_spaces,
)
from tests.support.running_relay import RunningRelay
from tests.support.scripted_keeper import ScriptedKeeper

pytestmark = pytest.mark.integration

NATIVE = Path(__file__).parent.parent.parent / "native/network"
BUILT = NATIVE.parent.parent / "build/native/network/check/relay"
BUDGET_S = 20.0  # for what takes milliseconds
MACHINE = MachineTold(key="vm-1", addresses=(GUEST, GUEST_6), policy=("base internet",))
STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
NOBODY = 65534
T = TypeVar("T")
_SILENCE = """
table inet silent {
  chain arrived { type filter hook input priority 0; tcp dport 99 drop; }
}
"""


@pytest.fixture(scope="module")
def sanitized() -> Path:
    """The relay with sanitizers: what it does wrong in memory ends it, and the test with it."""
    subprocess.run(["make", "-s", "-C", str(NATIVE), "sanitized"], check=True)
    return BUILT


@pytest.fixture(scope="module")
def relay_as_built() -> Path:
    return NATIVE.parent.parent / f"src/banger/network/bin/relay-{platform.machine()}"


@pytest.fixture(scope="module")
def spaces() -> Iterator[Spaces]:
    try:
        with open_spaces() as made:
            yield made
    except Missing as exc:
        pytest.skip(f"capability missing: no network namespaces: {exc}")


class World(RunningRelay):
    """A relay on the host of the `spaces`, with a keeper, and the sockets of a test. Ends with the test."""

    def __init__(self, spaces: Spaces, program: Path, directory: Path) -> None:
        super().__init__(spaces.host, program, directory)
        self.guest, self.outside = spaces.guest, spaces.outside
        self.keeper = ScriptedKeeper(directory / "keeper.sock", spaces.keeper)
        self._open = contextlib.ExitStack()

    def close(self) -> None:
        self._open.close()
        self.keeper.end()
        super().close()

    def counters(self) -> Counters:
        return self.ask(lambda relay: relay.counters(MACHINE.key))

    def raw(self) -> socket.socket:
        """A connection to the relay that keeps no rules."""
        made = self._keep(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        made.settimeout(BUDGET_S)
        made.connect(str(self.path))
        return made

    def _keep(self, made: socket.socket) -> socket.socket:
        return self._open.enter_context(made)

    def listen(self, space: Space, address: Address, backlog: int = 64) -> socket.socket:
        return self._keep(space.socket(bind=address, listen=backlog))

    def connect(self, space: Space, to: Address, source: Address | None = None) -> socket.socket:
        return self._keep(space.socket(to=to, bind=source))

    def datagrams(
        self, space: Space, to: Address | None = None, bind: Address | None = None
    ) -> socket.socket:
        return self._keep(space.socket(DATAGRAM, to=to, bind=bind))

    def accept(self, listener: socket.socket) -> socket.socket:
        made = self._keep(listener.accept()[0])
        made.settimeout(BUDGET_S)
        return made

    def pair(self, address: Address) -> tuple[socket.socket, socket.socket]:
        """A connection of the guest to the outside: the guest's end, and the other."""
        listener = self.listen(self.outside, address)
        guest = self.connect(self.guest, address)
        return guest, self.accept(listener)

    def publish(self, port: Port, bind: Address) -> None:
        kind = STREAM if port.protocol == "tcp" else DATAGRAM
        with self.host.socket(kind, bind=bind, listen=64 if kind == STREAM else 0) as made:
            self.ask(lambda relay: relay.publish(port, made.fileno()))


@contextlib.contextmanager
def open_world(spaces: Spaces, program: Path, *options: str, etc: Path | None = None) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="br-") as name:
        made = World(spaces, program, Path(name))
        made.keeper.open()
        made.start(*options, etc=etc)
        try:
            made.tell(MACHINE)
            wait_for(lambda: "listeners" in made.keeper.asked)
            yield made
        finally:
            made.close()


@pytest.fixture
def world(spaces: Spaces, sanitized: Path) -> Iterator[World]:
    with open_world(spaces, sanitized) as made:
        yield made


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BUDGET_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def hears_reset(connection: socket.socket) -> bool:
    """Whether the connection ends with a reset; an end without one is False."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        return True
    return False


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def receive_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 18), b""))


def is_refused(world: World, to: Address, source: Address | None = None, space: Space | None = None) -> bool:
    """Whether a connection, of the guest if no other space is named, is reset: at once or after it was accepted."""
    try:
        return hears_reset(world.connect(space or world.guest, to, source))
    except (ConnectionResetError, ConnectionRefusedError):
        return True


# Bytes


@pytest.mark.parametrize("address", [FAR, OUTSIDE_6])
def test_bytes_pass_both_ways_at_once_and_stay_what_they_are(
    spaces: Spaces, relay_as_built: Path, address: str
) -> None:
    block, count = os.urandom(1 << 20), 100
    expected = hashlib.sha256()
    for _ in range(count):
        expected.update(block)
    heard: list[str] = []

    def send(connection: socket.socket) -> None:
        for _ in range(count):
            connection.sendall(block)
        connection.shutdown(socket.SHUT_WR)

    def hear(connection: socket.socket) -> None:
        heard.append(hashlib.sha256(receive_all(connection)).hexdigest())

    with open_world(spaces, relay_as_built) as world:
        ends = world.pair((address, 80))
        threads = [threading.Thread(target=work, args=(end,)) for work in (send, hear) for end in ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert heard == [expected.hexdigest()] * 2
        wait_for(lambda: world.counters().flows == 0)
        assert world.counters().sent == world.counters().received == count * len(block)


def test_each_side_may_finish_first(world: World) -> None:
    for number, (first, second) in enumerate(((0, 1), (1, 0))):
        ends = world.pair((FAR, 80 + number))
        ends[first].sendall(b"question")
        ends[first].shutdown(socket.SHUT_WR)
        assert receive_all(ends[second]) == b"question"
        ends[second].sendall(b"answer")
        ends[second].shutdown(socket.SHUT_WR)
        assert receive_all(ends[first]) == b"answer"
    wait_for(lambda: world.counters().flows == 0)


@pytest.mark.parametrize("who", [0, 1])
def test_a_reset_passes_on(world: World, who: int) -> None:
    ends = world.pair((FAR, 80))
    ends[0].sendall(b"a")
    assert ends[1].recv(1) == b"a"
    reset(ends[who])
    assert hears_reset(ends[1 - who])
    wait_for(lambda: world.counters().flows == 0)


def test_what_the_outside_refuses_the_guest_is_refused(world: World) -> None:
    assert is_refused(world, (FAR, 81))
    assert is_refused(world, (NOWHERE, 81))
    assert world.counters().denied == 0


def test_a_dial_that_nobody_answers_ends_in_time(spaces: Spaces, sanitized: Path) -> None:
    with open_world(spaces, sanitized, "--time=dial=600") as world:
        world.outside.run("nft", "-f", "-", text=_SILENCE)
        try:
            assert is_refused(world, (FAR, 99))
        finally:
            world.outside.run("nft", "delete table inet silent")


def test_slow_readers_hold_little_and_cost_nothing(spaces: Spaces, relay_as_built: Path) -> None:
    with open_world(spaces, relay_as_built) as world:
        idle = world.memory_kib()
        listener = world.listen(world.outside, (FAR, 80))
        ends = []
        for _ in range(100):
            guest = world.connect(world.guest, (FAR, 80))
            ends.append((guest, world.accept(listener)))
        taken = 0
        for _ in range(10):
            for _, outside in ends:
                outside.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        taken += outside.send(bytes(1 << 16))
            time.sleep(0.1)
        assert world.memory_kib() - idle < 512
        # The guests have said all that they will say, and so have the others: only the bytes between are left.
        for guest, outside in ends:
            guest.shutdown(socket.SHUT_WR)
            outside.shutdown(socket.SHUT_WR)
        time.sleep(0.3)
        before = world.ticks()
        time.sleep(1)
        assert world.ticks() - before <= 10
        assert sum(len(receive_all(guest)) for guest, _ in ends) == taken


# Many


def test_a_thousand_short_connections_and_two_hundred_at_once(world: World) -> None:
    listener = world.listen(world.outside, (FAR, 80), 512)

    def serve(count: int) -> None:
        for _ in range(count):
            with listener.accept()[0] as connection:
                connection.sendall(connection.recv(100) * 100)

    for width in (1, 200):
        rounds = 1000 // width
        server = threading.Thread(target=serve, args=(width * rounds,))
        server.start()
        for _ in range(rounds):
            some = [world.guest.socket(to=(FAR, 80)) for _ in range(width)]
            for one in some:
                one.sendall(b"0123456789")
            for one in some:
                assert receive_all(one) == b"0123456789" * 100
                one.close()
        server.join()
    wait_for(lambda: world.counters().flows == 0)
    assert world.counters().opened == 2000


def test_a_guest_gets_so_many_flows_and_no_more(spaces: Spaces, relay_as_built: Path) -> None:
    """Twenty thousand connections, as fast as they can be made, to a server that does not accept any."""
    tries = 20_000
    with open_world(spaces, relay_as_built) as world:
        idle = world.memory_kib()
        server = world.listen(world.outside, (FAR, 80), 4096)
        held: list[socket.socket] = []
        for number in range(tries):
            one = world.guest.socket()
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect((FAR, 80))
            held.append(one)
            if len(held) > 3000:  # what this process may have open is not what is tried here
                held.pop(number % 1500).close()
        wait_for(lambda: world.counters().refused > 0)
        assert world.counters().flows <= 1024
        assert world.memory_kib() - idle < 1024
        for one in held:
            one.close()
        server.close()
        wait_for(lambda: world.counters().flows == 0)


def test_of_datagrams_the_flow_that_is_idle_for_longest_makes_room(world: World) -> None:
    server = world.datagrams(world.outside, bind=(FAR, 7))
    kept = world.datagrams(world.guest, to=(FAR, 7))
    kept.send(b"kept")
    _, seen = server.recvfrom(100)
    for number in range(400):
        with world.guest.socket(DATAGRAM, to=(FAR, 7)) as one:
            one.send(b"another")
        server.recvfrom(100)
        if number % 50 == 0:
            kept.send(b"kept")
            assert server.recvfrom(100)[1] == seen
    assert world.counters().flows == 256
    assert world.counters().refused == 0


def is_answered(sender: socket.socket, server: socket.socket) -> bool:
    """Whether a datagram comes to the server, and the answer back; any may be lost."""
    sender.settimeout(0.5)
    server.settimeout(0.5)
    try:
        sender.send(b"datagram")
        data, client = server.recvfrom(100)
        server.sendto(data, client)
        return sender.recv(100) == b"datagram"
    except TimeoutError:
        return False


def test_floods_of_one_machine_leave_others_what_they_need(spaces: Spaces, relay_as_built: Path) -> None:
    """Datagrams to ever new ports, and connections that are denied, while another machine goes about its business."""
    with open_world(spaces, relay_as_built) as world:
        world.tell(MachineTold(key="vm-2", addresses=(STRANGER,), policy=("base internet",)))
        ended = threading.Event()

        def flood() -> None:
            with world.guest.socket(DATAGRAM) as many:
                port = 1024
                while not ended.is_set():
                    port = port + 1 if port < 65535 else 1024
                    with contextlib.suppress(OSError):
                        many.sendto(b"flood", (FAR, port))

        def knock() -> None:
            while not ended.is_set():
                with contextlib.suppress(OSError), world.guest.socket(to=(GATEWAY, 80)):
                    pass

        floods = [threading.Thread(target=work) for work in (flood, knock)]
        for thread in floods:
            thread.start()
        try:
            listener = world.listen(world.outside, (OUTSIDE, 80))
            server = world.datagrams(world.outside, bind=(OUTSIDE, 7))
            for _ in range(50):
                with world.guest.socket(bind=(STRANGER, 0), to=(OUTSIDE, 80)) as one:
                    other = world.accept(listener)
                    one.sendall(b"stream")
                    assert other.recv(100) == b"stream"
                    other.close()
                with world.guest.socket(DATAGRAM, bind=(STRANGER, 0), to=(OUTSIDE, 7)) as one:
                    wait_for(lambda one=one: is_answered(one, server))  # type: ignore[misc]
        finally:
            ended.set()
            for thread in floods:
                thread.join()
        assert world.counters().refused > 0
        assert world.ask(lambda relay: relay.counters("vm-2")).refused == 0


# Datagrams


@pytest.mark.parametrize("address", [FAR, OUTSIDE_6])
def test_datagrams_are_answered_from_where_they_were_sent_to(world: World, address: str) -> None:
    server = world.datagrams(world.outside, bind=(address, 7))
    guest = world.datagrams(world.guest, to=(address, 7))
    for size in (0, 1, 1400, 40_000):
        guest.send(bytes(size))
        data, client = server.recvfrom(1 << 16)
        assert len(data) == size
        server.sendto(data + b"!", client)
        assert guest.recv(1 << 16) == data + b"!"


def test_flows_of_datagrams_end_when_they_are_idle(spaces: Spaces, sanitized: Path) -> None:
    with open_world(spaces, sanitized, "--time=datagram=300") as world:
        server = world.datagrams(world.outside, bind=(FAR, 7))
        guest = world.datagrams(world.guest, to=(FAR, 7))
        guest.send(b"a")
        server.recvfrom(100)
        wait_for(lambda: world.counters().flows == 0)
        guest.send(b"b")
        assert server.recvfrom(100)[0] == b"b"


def test_what_the_keeper_refuses_ends_a_flow_and_no_more(world: World) -> None:
    server = world.datagrams(world.outside, bind=(FAR, 7))
    world.keeper.refuses = "udp"
    world.datagrams(world.guest, to=(FAR, 7)).send(b"a")
    wait_for(lambda: world.counters().opened == 1 and world.counters().flows == 0)
    world.keeper.refuses = ""
    server.recvfrom(100)
    world.datagrams(world.guest, to=(FAR, 7)).send(b"b")
    assert server.recvfrom(100)[0] == b"b"


# Policy


def test_an_unknown_source_reaches_nothing(world: World) -> None:
    world.listen(world.outside, (FAR, 80))
    server = world.datagrams(world.outside, bind=(FAR, 7))
    server.settimeout(0.3)
    assert is_refused(world, (FAR, 80), (STRANGER, 0))
    world.datagrams(world.guest, (FAR, 7), (STRANGER, 0)).send(b"a")
    with pytest.raises(TimeoutError):
        server.recv(100)
    world.ask(lambda relay: relay.forget(MACHINE.key))
    assert is_refused(world, (FAR, 80))


def test_the_host_is_closed_and_opened_by_the_policy(world: World) -> None:
    with world.host.socket(bind=("127.0.0.1", 8080), listen=8) as loopback:
        for address in (GATEWAY, HOST, "127.0.0.1", "169.254.169.254"):
            assert is_refused(world, (address, 8080)), address
        world.tell(MachineTold(key="vm-1", addresses=(GUEST,), policy=("base host",)))
        guest = world.connect(world.guest, (GATEWAY, 8080))
        with loopback.accept()[0] as other:
            other.sendall(b"the host")
        assert receive_all(guest) == b"the host"


def test_the_host_is_known_by_its_routes_at_the_time_of_the_dial(world: World) -> None:
    """An address that came a moment ago, and one that no interface has."""
    here, there = "93.184.218.1", "93.184.219.1"
    for command, address in (
        (f"address add {here}/32 dev lo", here),
        (f"route add local {there} dev lo", there),
    ):
        server = world.listen(world.outside, ("0.0.0.0", 80))
        world.outside.ip(f"address add {address}/32 dev lo")
        guest = world.connect(world.guest, (address, 80))
        world.accept(server).sendall(b"outside")
        assert guest.recv(100) == b"outside"
        world.host.ip(command)
        try:
            world.listen(world.host, (address, 80))
            assert is_refused(world, (address, 80))
        finally:
            world.host.ip(command.replace(" add ", " del "))
            world.outside.ip(f"address del {address}/32 dev lo")
        server.close()


def test_a_changed_policy_ends_what_it_does_not_allow(world: World) -> None:
    denied, allowed = world.pair((FAR, 80)), world.pair((OUTSIDE, 80))
    server = world.datagrams(world.outside, bind=(FAR, 7))
    datagrams = world.datagrams(world.guest, to=(FAR, 7))
    datagrams.send(b"a")
    server.recvfrom(100)
    world.tell(MachineTold(key="vm-1", addresses=(GUEST,), policy=("base internet", f"deny {FAR}")))
    assert hears_reset(denied[0])
    assert hears_reset(denied[1])
    assert world.counters().flows == 1
    allowed[0].sendall(b"still here")
    assert allowed[1].recv(100) == b"still here"
    world.ask(lambda relay: relay.forget(MACHINE.key))
    assert hears_reset(allowed[0])
    assert hears_reset(allowed[1])


def test_denials_are_told_a_few_at_a_time_and_counted_all(world: World) -> None:
    world.tell(MachineTold(key="vm-1", addresses=(GUEST,), policy=("base internal",)))
    listening = world.raw()
    listening.send(b"events")
    assert listening.recv(100) == b"ok"
    for _ in range(100):
        assert is_refused(world, (FAR, 80))
    told: list[Denied] = []
    while sum(event.count for event in told) < 100:
        event = read_event(listening.recv(1000).decode())
        assert isinstance(event, Denied)
        told.append(event)
    assert len(told) < 100
    assert told[0] == Denied("vm-1", "tcp", FAR, 80, "closed internal", 1)
    assert world.counters().denied == 100


# Names


def answer_to(query: bytes) -> bytes:
    """An answer of a name server: FAR for an A query."""
    end = query.index(b"\0", 12) + 5
    wanted = query[end - 4 : end - 2]
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(FAR)
    is_a = wanted == b"\0\1"
    head = query[:2] + b"\x81\x80\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0"
    return head + query[12:end] + (record if is_a else b"")


QUERY = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1"


def serve_names(server: socket.socket, count: int) -> None:
    for _ in range(count):
        query, client = server.recvfrom(1000)
        server.sendto(answer_to(query), client)


def test_names_are_answered_whatever_server_is_asked(world: World) -> None:
    """Also a second guest's port, and a server that was asked before: the socket that answers is the same."""
    world.tell(MachineTold(key="vm-1", addresses=(GUEST, GUEST_6), policy=("base internet",), dns=(OUTSIDE,)))
    servers = (GATEWAY, "9.9.9.9", GATEWAY, GATEWAY_6, "9.9.9.9")
    upstream = world.datagrams(world.outside, bind=(OUTSIDE, 53))
    thread = threading.Thread(target=serve_names, args=(upstream, len(servers)))
    thread.start()
    for server in servers:
        guest = world.datagrams(world.guest, to=(server, 53))  # takes an answer from this address only
        guest.send(QUERY)
        answer = guest.recv(1000)
        assert answer[:2] == QUERY[:2]
        assert answer.endswith(socket.inet_aton(FAR))
    thread.join()
    assert sum(request.startswith("udp") for request in world.keeper.asked) == len(set(servers))


def test_names_are_answered_over_tcp(world: World) -> None:
    world.tell(MachineTold(key="vm-1", addresses=(GUEST,), policy=("base internet",), dns=(OUTSIDE,)))
    upstream = world.listen(world.outside, (OUTSIDE, 53))
    guest = world.connect(world.guest, ("9.9.9.9", 53))
    for _ in range(2):
        whole = struct.pack(">H", len(QUERY)) + QUERY
        guest.sendall(whole[:1])  # in pieces, as the network may deliver it
        time.sleep(0.05)
        guest.sendall(whole[1:])
        server = world.accept(upstream)
        query = server.recv(1000)
        answer = answer_to(query[2:])
        server.sendall(struct.pack(">H", len(answer)) + answer[:20])
        time.sleep(0.05)
        server.sendall(answer[20:])
        (length,) = struct.unpack(">H", guest.recv(2, socket.MSG_WAITALL))
        assert guest.recv(length, socket.MSG_WAITALL).endswith(socket.inet_aton(FAR))


def test_the_name_servers_of_the_host_are_those_that_its_file_names_now(
    spaces: Spaces, sanitized: Path, tmp_path: Path
) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(f"nameserver {OUTSIDE}\n")

    def name(server: str) -> None:
        new = tmp_path / "new"
        new.write_text(f"nameserver {server}\n")
        new.rename(file)

    with open_world(spaces, sanitized, etc=tmp_path) as world:
        for server in (OUTSIDE, FAR, OUTSIDE):
            name(server)
            time.sleep(1.1)  # the relay looks once a second
            upstream = world.datagrams(world.outside, bind=(server, 53))
            guest = world.datagrams(world.guest, to=(GATEWAY, 53))
            guest.send(QUERY)
            serve_names(upstream, 1)
            assert guest.recv(1000).endswith(socket.inet_aton(FAR))
            upstream.close()


def test_few_that_ask_the_same_are_passed_on(world: World) -> None:
    """Each would be one more chance to forge the answer."""
    world.tell(MachineTold(key="vm-1", addresses=(GUEST,), policy=("base internet",), dns=(OUTSIDE,)))
    upstream = world.datagrams(world.outside, bind=(OUTSIDE, 53))
    upstream.settimeout(1)
    guests = [world.datagrams(world.guest, to=(GATEWAY, 53)) for _ in range(20)]
    for guest in guests:
        guest.send(QUERY)
    asked = [upstream.recvfrom(1000) for _ in range(4)]
    assert len({client for _, client in asked}) == len({query[:2] for query, _ in asked}) == 4
    with pytest.raises(TimeoutError):
        upstream.recv(1000)


def test_a_name_server_that_is_not_there_is_told_at_once(world: World) -> None:
    world.tell(MachineTold(key="vm-1", addresses=(GUEST,), policy=("base internet",), dns=(OUTSIDE,)))
    guest = world.datagrams(world.guest, to=(GATEWAY, 53))
    guest.send(QUERY)
    assert guest.recv(1000)[3] & 15 == 2


# Published ports


def test_a_published_port_leads_into_the_guest(world: World) -> None:
    world.publish(Port("web", "vm-1", "tcp", 80), ("0.0.0.0", 8080))
    service = world.listen(world.guest, ("0.0.0.0", 80))
    for _ in range(40):  # more than the relay has sockets in stock
        client = world.connect(world.outside, (HOST, 8080))
        client.sendall(b"question")
        server = world.accept(service)
        assert server.recv(100) == b"question"
        assert server.getpeername()[0] == GATEWAY
        server.sendall(b"answer")
        server.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"answer"
        client.close()
        server.close()
    service.close()
    assert is_refused(world, (HOST, 8080), space=world.outside)


def test_a_guest_that_does_not_answer_keeps_nobody_waiting(spaces: Spaces, sanitized: Path) -> None:
    with open_world(spaces, sanitized, "--time=dial=1500") as world:
        world.publish(Port("web", "vm-1", "tcp", 99), ("0.0.0.0", 8080))
        world.guest.run("nft", "-f", "-", text=_SILENCE)
        try:
            client = world.connect(world.outside, (HOST, 8080))
            guest, outside = world.pair((FAR, 80))
            guest.sendall(b"meanwhile")
            assert outside.recv(100) == b"meanwhile"
            assert world.counters().flows == 2
            assert hears_reset(client)
        finally:
            world.guest.run("nft", "delete table inet silent")


def test_a_published_port_of_datagrams_answers_from_where_it_was_asked(world: World) -> None:
    world.host.ip("address add 93.184.215.9/32 dev up0")
    try:
        world.publish(Port("dns", "vm-1", "udp", 5353), ("0.0.0.0", 5300))
        service = world.datagrams(world.guest, bind=("0.0.0.0", 5353))
        for address in (HOST, "93.184.215.9"):
            client = world.datagrams(world.outside, to=(address, 5300))
            for number in range(3):
                client.send(b"%d" % number)
                data, source = service.recvfrom(100)
                assert source[0] == GATEWAY
                service.sendto(data + b"!", source)
                assert client.recv(100) == b"%d!" % number
    finally:
        world.host.ip("address del 93.184.215.9/32 dev up0")


def test_a_port_that_is_published_no_more_is_closed(world: World) -> None:
    port = Port("web", "vm-1", "tcp", 80)
    world.publish(port, ("0.0.0.0", 8080))
    assert world.ask(lambda relay: relay.list()) == Listed({"vm-1": (GUEST, GUEST_6)}, (port,))
    service = world.listen(world.guest, ("0.0.0.0", 80))
    client = world.connect(world.outside, (HOST, 8080))
    server = world.accept(service)
    world.ask(lambda relay: relay.unpublish("web"))
    with pytest.raises(ConnectionRefusedError):
        world.connect(world.outside, (HOST, 8080))
    client.sendall(b"goes on")
    assert server.recv(100) == b"goes on"
    world.publish(port, ("0.0.0.0", 8080))
    world.ask(lambda relay: relay.forget("vm-1"))
    assert hears_reset(client)
    assert world.ask(lambda relay: relay.list()) == Listed({}, ())


def test_a_machine_that_sleeps_is_knocked_at_and_the_connection_waits(world: World) -> None:
    asleep = MachineTold(key="vm-1", addresses=(GUEST,), policy=("base internet",), asleep=True)
    world.tell(asleep)
    world.publish(Port("web", "vm-1", "tcp", 80), ("0.0.0.0", 8080))
    world.publish(Port("dns", "vm-1", "udp", 53), ("0.0.0.0", 5300))
    listening = world.raw()
    listening.send(b"events")
    assert listening.recv(100) == b"ok"
    service = world.listen(world.guest, ("0.0.0.0", 80))
    names = world.datagrams(world.guest, bind=("0.0.0.0", 53))
    client = world.connect(world.outside, (HOST, 8080))
    client.sendall(b"good morning")
    world.datagrams(world.outside, to=(HOST, 5300)).send(b"you, too")
    assert read_event(listening.recv(100).decode()) == Knock("vm-1")
    assert not any(request.startswith(("sockets", "udp")) for request in world.keeper.asked)
    world.tell(MACHINE)
    assert world.accept(service).recv(100) == b"good morning"
    assert names.recv(100) == b"you, too"


def test_a_client_whom_the_guest_refuses_goes_to_who_asked_for_events(world: World) -> None:
    """With all that it has said: the daemon may know another way into the guest."""
    world.publish(Port("web", "vm-1", "tcp", 80), ("0.0.0.0", 8080))
    listening = world.raw()
    listening.send(b"events")
    assert listening.recv(100) == b"ok"
    client = world.connect(world.outside, (HOST, 8080))
    client.sendall(b"question")
    event, descriptors, _, _ = socket.recv_fds(listening, 100, 4)
    assert read_event(event.decode()) == Reach("vm-1", 80)
    with socket.socket(fileno=descriptors[0]) as taken:
        taken.settimeout(BUDGET_S)
        assert taken.recv(100) == b"question"
        taken.sendall(b"answer")
        assert client.recv(100) == b"answer"
        assert world.counters().flows == 0
        world.ask(lambda relay: relay.forget("vm-1"))  # the client is the receiver's now
        taken.sendall(b"still")
        assert client.recv(100) == b"still"
    assert hears_reset(client)


def test_a_client_whom_nobody_takes_is_refused(world: World) -> None:
    world.publish(Port("web", "vm-1", "tcp", 80), ("0.0.0.0", 8080))
    deaf = world.raw()
    deaf.send(b"events")
    assert deaf.recv(100) == b"ok"
    for _ in range(
        100
    ):  # more than wait for one who does not read; each is refused or waits, none ends the relay
        world.connect(world.outside, (HOST, 8080))
    deaf.close()
    assert is_refused(world, (HOST, 8080), space=world.outside)
    assert world.counters().flows == 0


# Ends and beginnings


def test_a_new_relay_goes_on_with_the_listeners_of_the_old(world: World) -> None:
    old = world.pair((FAR, 80))
    world.kill()
    with contextlib.suppress(ConnectionResetError):  # the kernel ends the connections of the old
        assert old[0].recv(1) == b""
    world.start()
    world.tell(MACHINE)
    wait_for(lambda: world.keeper.asked.count("listeners") == 2)
    guest, outside = world.pair((OUTSIDE, 81))
    guest.sendall(b"again")
    assert outside.recv(100) == b"again"


def test_a_new_keeper_is_found_and_what_waits_is_asked_again(world: World) -> None:
    guest, outside = world.pair((FAR, 80))
    world.keeper.close()
    guest.sendall(b"goes on")
    assert outside.recv(100) == b"goes on"
    server = world.datagrams(world.outside, bind=(FAR, 7))
    datagrams = world.datagrams(world.guest, to=(FAR, 7))
    datagrams.send(b"a")
    _, client = server.recvfrom(100)
    server.sendto(b"b", client)  # there is nobody yet who could make the socket that it comes from
    world.keeper.open()
    assert datagrams.recv(100) == b"b"


# Control


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ("", None),
        ("bogus", "invalid"),
        ("machine", "invalid"),
        ("machine /etc", "invalid"),
        (f"machine {'k' * 65}", "invalid"),
        ("machine vm-2\naddress 10.213.0.300", "invalid"),
        ("machine vm-2\naddress 10.213.0.1 10.213.0.2 10.213.0.3 10.213.0.4 10.213.0.7", "invalid"),
        (f"machine vm-2\naddress {GUEST}", "exists"),
        ("machine vm-2\nbase everything", "invalid"),
        ("machine vm-2\nallow", "invalid"),
        ("machine vm-2\nasleep perhaps", "invalid"),
        ("machine vm-2\ndns nowhere", "invalid"),
        ("machine vm-2\n" + "deny 10.0.0.0/8\n" * 1000, "invalid"),
        ("forget vm-2", "unknown"),
        ("counters vm-2", "unknown"),
        ("unpublish web", "unknown"),
        ("publish web vm-2 tcp 80", "unknown"),
        ("publish web vm-1 tcp 80", "invalid"),
        ("list -1", "invalid"),
        ("list 1 2", "invalid"),
        ("list\0", "invalid"),
        ("x" * 150_000, "invalid"),
    ],
)
def test_malformed_requests_are_refused_and_change_nothing(
    world: World, request_: str, code: str | None
) -> None:
    before = world.ask(lambda relay: relay.list())
    connection = world.raw()
    if request_:
        connection.send(request_.encode())
        assert connection.recv(1000).decode().split()[:2] == ["error", code]
    assert world.ask(lambda relay: relay.list()) == before


def test_only_sockets_that_fit_are_published(world: World) -> None:
    def refusal(protocol: str, made: socket.socket) -> str:
        with made, pytest.raises(Refused) as refused:
            world.ask(
                lambda relay: relay.publish(
                    Port("p", "vm-1", "tcp" if protocol == "tcp" else "udp", 80), made.fileno()
                )
            )
        return refused.value.code

    assert refusal("tcp", world.host.socket()) == "socket"
    assert refusal("tcp", world.host.socket(DATAGRAM)) == "socket"
    assert refusal("udp", world.host.socket(bind=("127.0.0.1", 8080), listen=1)) == "socket"
    assert refusal("udp", socket.socket(socket.AF_UNIX, DATAGRAM)) == "socket"


def test_who_floods_the_control_socket_stops_nobody(world: World) -> None:
    floods = [world.raw() for _ in range(40)]  # more than the relay keeps
    for flood in floods:
        flood.setblocking(False)
        with contextlib.suppress(OSError):
            for _ in range(2000):
                flood.send(b"list")
    for flood in floods:
        flood.close()
    many = world.raw()
    descriptors = [0] * 200
    with contextlib.suppress(OSError):
        socket.send_fds(many, [b"list"], descriptors)
        many.recv(1000)
    wait_for(lambda: answers(world))
    assert world.process is not None
    assert len(os.listdir(f"/proc/{world.process.pid}/fd")) < 32


def answers(world: World) -> bool:
    try:
        return "vm-1" in world.ask(lambda relay: relay.list()).machines
    except OSError:
        return False


def test_processes_of_another_user_are_not_heard(world: World) -> None:
    if os.geteuid() != 0:
        pytest.skip("capability missing: only root can be another user")
    world.path.parent.chmod(0o755)
    world.path.chmod(0o666)
    code = (
        "import os, socket, sys\n"
        f"os.setresuid({NOBODY}, {NOBODY}, {NOBODY})\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "s.connect(sys.argv[1])\n"
        "try:\n    s.send(b'list'); print(s.recv(100))\n"
        "except OSError as exc:\n    print(type(exc).__name__)\n"
    )
    said = subprocess.run(
        ["/usr/bin/python3", "-c", code, str(world.path)], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() in ("b''", "ConnectionResetError", "BrokenPipeError")


def test_the_relay_has_given_up_what_it_does_not_need(spaces: Spaces, relay_as_built: Path) -> None:
    with open_world(spaces, relay_as_built) as world:
        assert world.process is not None
        process = Path(f"/proc/{world.process.pid}")
        status = dict(
            line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line
        )
        assert status["NoNewPrivs"].strip() == "1"
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        limits = (process / "limits").read_text()
        assert any(line.startswith("Max core file size") and " 0 " in line for line in limits.splitlines())
        assert world.memory_kib() < 1024
