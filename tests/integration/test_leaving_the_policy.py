"""A guest, as root, tries to leave its policy: by names, addresses inside addresses, frames that no kernel would send,
and many connections. Keeper, relay and name server are real; outside, a sniffer sees whatever comes."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.network.relay import MachineTold
from tests.support import raw_frames
from tests.support.house import House, eventually, house_or_skip
from tests.support.name_server import NameServer, name_server
from tests.support.network_spaces import FAR, HOST, HOST_6, OUTSIDE, Missing, Space
from tests.support.stand_in import GATEWAY, SOON_S, StandIn

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
METADATA = "169.254.169.254"
MARK = b"a frame of the guest"
A, TXT, AAAA = 1, 16, 28
REFUSED, NO_SUCH_NAME = 5, 3
# The names of the world: some of them in the hands of an attacker.
NAMES = {
    "good.example": FAR,
    "rebind-loopback.example": "127.0.0.1,::1",
    "rebind-own.example": f"{HOST},{HOST_6}",
    "rebind-metadata.example": f"{METADATA},fd00:ec2::254",
    "rebind-mapped.example": "::ffff:127.0.0.1",
    "rebind-translated.example": "64:ff9b::a9fe:a9fe",
    "rebind-unspecified.example": "0.0.0.0",
    "rebind-gateway.example": GATEWAY,
    "other.example": OUTSIDE,
}
ALIASES = {
    "alias-of-good.example": "good.example",
    "alias-of-other.example": "other.example",
    "alias-of-loopback.example": "rebind-loopback.example",
}
# Prints each packet of the guest's that comes: protocol and target.
SNIFFER = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
print("ready", flush=True)
while True:
    data, where = s.recvfrom(2048)
    if where[2] == 0 and sys.argv[1].encode() in data:
        print(data[9] if data[0] >> 4 == 4 else data[6], flush=True)
"""


@pytest.fixture
def house() -> Iterator[House]:
    with house_or_skip() as made:
        yield made


@pytest.fixture
def names(house: House) -> Iterator[NameServer]:
    with tempfile.TemporaryDirectory(prefix="bn-") as directory:
        try:
            with name_server(house.spaces.outside, OUTSIDE, Path(directory), NAMES, ALIASES) as server:
                yield server
        except Missing as exc:
            pytest.skip(f"capability missing: {exc}")


@contextlib.contextmanager
def sniffer(space: Space) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*space.entrance(), sys.executable, "-S", "-E", "-c", SNIFFER, MARK.decode()], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def seen_by(process: subprocess.Popen[bytes]) -> list[int]:
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    return [int(word) for word in (process.stdout.read() or b"").split()]


def tell(house: House, *policy: str, number: int = 5) -> None:
    addresses = (f"10.213.0.{number}", f"fd62:616e:6765::{number:x}")
    house.relay.tell(
        MachineTold(key=f"vm-{number}", addresses=addresses, policy=tuple(policy), dns=(OUTSIDE,))
    )


def ask(
    guest: StandIn, name: str, kind: int = A, *, at: str = OUTSIDE, tcp: bool = False
) -> tuple[int, list[str]]:
    """The code of the answer and the addresses in it."""
    labels = b"".join(bytes([len(label)]) + label for label in name.encode().split(b".")) + b"\0"
    question = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!2H", kind, 1)
    with guest.dial((at, 53), STREAM if tcp else DATAGRAM) as asked:
        asked.sendall(struct.pack("!H", len(question)) + question if tcp else question)
        answer = asked.recv(4096)
        while tcp and len(answer) < 2 + struct.unpack("!H", answer[:2])[0]:
            answer += asked.recv(4096)
    answer = answer[2:] if tcp else answer
    return answer[3] & 15, _addresses(answer, 12 + len(labels) + 4)


def _addresses(answer: bytes, at: int) -> list[str]:
    found = []
    for _ in range(struct.unpack("!H", answer[6:8])[0]):
        while answer[at] and answer[at] < 0xC0:
            at += 1 + answer[at]
        at += 2 if answer[at] else 1
        kind, _, _, length = struct.unpack("!HHIH", answer[at : at + 10])
        at += 10
        if kind in (A, AAAA):
            family = socket.AF_INET if kind == A else socket.AF_INET6
            found.append(socket.inet_ntop(family, answer[at : at + length]))
        at += length
    return found


def is_closed(guest: StandIn, address: str, port: int = 80) -> bool:
    """Whether the relay resets the connection, or nobody can be reached so."""
    try:
        with guest.dial((address, port), timeout_s=5) as dialed:
            dialed.recv(1)
    except TimeoutError:
        pass
    except OSError:
        return True
    return False


def test_names_open_what_a_rule_names_and_nothing_else(house: House, names: NameServer) -> None:
    guest = house.guests[0]
    tell(house, "base internet", "deny 0.0.0.0/0", "deny ::/0", "allow good.example 80")
    for address in ((FAR, 80), (FAR, 81), (OUTSIDE, 80)):
        house.serve(address)
    assert is_closed(guest, FAR), "no name was asked for yet"
    assert ask(guest, "good.example") == (0, [FAR])
    with guest.dial((FAR, 80)):
        pass
    assert is_closed(guest, FAR, 81)
    # Names that are not allowed are not even asked: the question would carry data out.
    for name in (
        "other.example",
        "alias-of-other.example",
        "good.example.other.example",
        "secret-data.good.example",
        "xgood.example",
        "good.examples",
    ):
        for kind in (A, AAAA, TXT, 255, 10):
            for tcp in (False, True):
                assert ask(guest, name, kind, tcp=tcp) == (REFUSED, []), (name, kind)
    assert is_closed(guest, OUTSIDE)
    assert {line.split(" query[")[1].split()[1] for line in names.asked().splitlines()} == {"good.example"}


def test_an_alias_opens_what_it_leads_to_only_if_the_alias_is_allowed(
    house: House, names: NameServer
) -> None:
    guest = house.guests[0]
    house.serve((FAR, 80))
    house.serve((OUTSIDE, 80))
    tell(house, "base internet", "deny 0.0.0.0/0", "deny ::/0", "allow alias-of-good.example")
    assert ask(guest, "alias-of-good.example") == (0, [FAR])
    with guest.dial((FAR, 80)):
        pass
    assert ask(guest, "good.example")[0] == REFUSED
    tell(house, "base internet", "deny other.example")
    code, found = ask(guest, "alias-of-other.example")
    assert found == [] and code in (REFUSED, NO_SUCH_NAME, 0)


@pytest.mark.parametrize(
    "name", [name for name in (*NAMES, *ALIASES) if "rebind" in name or "loopback" in name]
)
def test_an_answer_leads_nobody_to_the_host(house: House, names: NameServer, name: str) -> None:
    """Whoever owns an allowed name chooses its addresses."""
    guest = house.guests[0]
    tell(house, "base internet", f"allow {name}")
    for kind in (A, AAAA):
        assert ask(guest, name, kind)[0] in (0, REFUSED, NO_SUCH_NAME)
    with (
        house.spaces.host.socket(bind=("0.0.0.0", 8080), listen=8) as four,
        house.spaces.host.socket(bind=("::", 8081), listen=8) as six,
    ):
        for address, port in ((HOST, 8080), (METADATA, 8080), (GATEWAY, 8080), (HOST_6, 8081)):
            assert is_closed(guest, address, port), address
        for listener in (four, six):
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.accept()


INSIDE = ["::ffff:{}", "64:ff9b::{}", "::{}", "::ffff:0:{}"]


@pytest.mark.parametrize("form", [*INSIDE, "2002:"])
@pytest.mark.parametrize("target", [HOST, METADATA, "127.0.0.1", "10.0.0.1", GATEWAY])
def test_an_address_inside_an_address_opens_nothing(house: House, form: str, target: str) -> None:
    """By frames, since the guest's own kernel would take some of them for IPv4."""
    guest = house.guests[0]
    packed = socket.inet_aton(target)
    address = (
        f"2002:{packed[0]:02x}{packed[1]:02x}:{packed[2]:02x}{packed[3]:02x}::1"
        if form == "2002:"
        else form.format(target)
    )
    keeper_end = guest.gateway_hardware()
    with (
        house.spaces.host.socket(DATAGRAM, bind=("0.0.0.0", 9999)) as four,
        house.spaces.host.socket(DATAGRAM, bind=("::", 9998)) as six,
        sniffer(house.spaces.outside) as outside,
    ):
        for port in (9999, 9998):
            frame = raw_frames.udp(keeper_end, guest.hardware, guest.address_6, address, port, MARK)
            guest.send_frame(frame)
        house.echoes(guest, (FAR, 80))  # all frames before were looked at
        for listener in (four, six):
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.recv(100)
        assert seen_by(outside) == []


PROTOCOLS = {
    "icmp": 1,
    "igmp": 2,
    "ipip": 4,
    "6in4": 41,
    "gre": 47,
    "esp": 50,
    "ospf": 89,
    "sctp": 132,
    "raw": 255,
}


def test_no_packet_of_a_guest_goes_out_itself(house: House) -> None:
    """Raw sockets: whatever is not TCP or UDP, and whatever is, comes to the relay or to nobody."""
    guest = house.guests[0]
    keeper_end = guest.gateway_hardware()
    with sniffer(house.spaces.outside) as outside:
        for protocol in PROTOCOLS.values():
            for source, target in ((guest.address, FAR), (guest.address_6, "2a00:1450:7::2")):
                body = bytes([8, 0, 0, 0, 0, 0, 0, 0]) + MARK
                guest.send_frame(
                    raw_frames.ethernet(keeper_end, guest.hardware, source, target, protocol, body)
                )
        assert not guest.ping(FAR, timeout_s=SOON_S)
        house.echoes(guest, (FAR, 80))
        assert seen_by(outside) == []


def test_fragments_are_judged_as_the_packet_that_they_are(house: House) -> None:
    """Ports are in the first fragment alone, so a filter of packets can be misled."""
    guest = house.guests[0]
    tell(house, "base internet", f"deny {FAR} 9999")
    with (
        house.spaces.outside.socket(DATAGRAM, bind=(FAR, 9999)) as closed,
        house.spaces.outside.socket(DATAGRAM, bind=(FAR, 9997)) as open_,
    ):
        for port in (9999, 9997):
            with guest.dial((FAR, port), DATAGRAM) as sender:
                sender.send(MARK * 200)  # 4000 bytes: three fragments
        assert open_.recv(9000) == MARK * 200
        # The second fragment says another port, where a careless filter would look for one.
        keeper_end = guest.gateway_hardware()
        head = struct.pack("!4H", 1000, 9999, 8 + 16 + len(MARK), 0) + bytes(16)
        for offset, more, body in ((0, 1, head), (len(head) // 8, 0, struct.pack("!2H", 1000, 9997) + MARK)):
            guest.send_frame(_fragment(keeper_end, guest, FAR, offset, more, body))
        house.echoes(guest, (FAR, 80))
        for listener in (closed, open_):
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.recv(9000)


def _fragment(to: bytes, guest: StandIn, target: str, offset: int, more: int, body: bytes) -> bytes:
    frame = bytearray(raw_frames.ethernet(to, guest.hardware, guest.address, target, 17, body))
    frame[20:22] = struct.pack("!H", more << 13 | offset)
    frame[24:26] = b"\0\0"
    frame[24:26] = struct.pack("!H", raw_frames.checksum(bytes(frame[14:34])))
    return bytes(frame)


def test_a_guest_that_says_that_it_is_another_gets_nothing_of_the_other(house: House) -> None:
    """ARP and neighbour advertisements for the neighbour's address, frames with the neighbour's hardware address, and
    with the gateway's."""
    liar, victim = house.guests
    keeper_end = liar.gateway_hardware()
    victims_end = victim.gateway_hardware()

    def lie() -> None:
        for hardware in (liar.hardware, victim.hardware, keeper_end.hex(":"), victims_end.hex(":")):
            liar.send_frame(raw_frames.arp_request(hardware, victim.address, victim.address))
            liar.send_frame(raw_frames.arp_request(hardware, victim.address, GATEWAY))
            liar.send_frame(raw_frames.neighbour_solicitation(hardware, victim.address_6, "fe80::1"))
            for source, target in ((victim.address, FAR), (victim.address_6, "2a00:1450:7::2")):
                liar.send_frame(raw_frames.udp(keeper_end, hardware, source, target, 9999, MARK))

    with (
        house.spaces.outside.socket(DATAGRAM, bind=(FAR, 9999)) as server,
        victim.dial((FAR, 9999), DATAGRAM) as asker,
    ):
        for number in range(20):
            lie()
            asker.send(b"question %d" % number)
            data, peer = server.recvfrom(100)
            assert data == b"question %d" % number, "a datagram in the victim's name"
            server.sendto(b"answer %d" % number, peer)
            assert asker.recv(100) == b"answer %d" % number
        assert [frame for frame in liar.frames() if b"answer" in frame] == []
    house.echoes(victim, (FAR, 80))
    house.echoes(liar, (FAR, 80))


def test_twenty_thousand_connections_of_one_guest_leave_its_neighbour_what_it_needs(house: House) -> None:
    """Half of them are only begun, half are made as fast as the guest can."""
    flooder, neighbour = house.guests
    listener = house.serve((FAR, 80))
    listener.setblocking(False)
    keeper_end = flooder.gateway_hardware()
    for number in range(10_000):
        flooder.send_frame(_begin(keeper_end, flooder, FAR, 1024 + number % 60_000, number))
    held: list[socket.socket] = []
    for _ in range(10_000):
        made = flooder.open_socket(timeout_s=0)
        made.connect_ex((FAR, 80))
        held.append(made)
        if len(held) > 400:
            held.pop(0).close()
        with contextlib.suppress(BlockingIOError):
            while True:
                listener.accept()[0].close()
    for made in held:
        made.close()
    listener.close()
    begun = time.monotonic()
    eventually(lambda: house.echoes(neighbour, (FAR, 80)))
    assert time.monotonic() - begun < 60
    eventually(lambda: house.echoes(flooder, (FAR, 80)))
    assert house.relay.memory_kib() < 16 * 1024
    counters = house.relay.ask(lambda relay: relay.counters("vm-5"))
    assert counters.flows <= 1024, counters


def _begin(to: bytes, guest: StandIn, target: str, port: int, number: int) -> bytes:
    """The first packet of a TCP connection."""
    head = struct.pack("!2HIIHHHH", port, 80, number, 0, 5 << 12 | 2, 65535, 0, 0)
    addresses = socket.inet_aton(guest.address) + socket.inet_aton(target)
    total = raw_frames.checksum(addresses + struct.pack("!2H", 6, len(head)) + head)
    head = head[:16] + struct.pack("!H", total) + head[18:]
    return raw_frames.ethernet(to, guest.hardware, guest.address, target, 6, head)
