"""Services of a guest, reached from the host: also those that listen on the guest's own loopback alone."""

from __future__ import annotations

import hashlib
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple, Self

import pytest

from tests.support.home import IMAGE, Home, open_home, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

LOOPBACK = "127.0.0.1"
PATIENCE_S = 60
LONG_BYTES = 50_000_000
# What it does for a client says the first byte that it reads: e echoes until the end and then says "end", s sends as
# many bytes as the rest of the line says, c hashes what comes.
_SERVER = r"""
use Socket; $SIG{CHLD} = "IGNORE"; $SIG{PIPE} = "IGNORE";
my ($v6, $port) = @ARGV;
socket(my $s, $v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0) or die; setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
my $loopback_6 = ("\0" x 15) . "\1";
bind($s, $v6 ? pack_sockaddr_in6($port, $loopback_6) : sockaddr_in($port, INADDR_LOOPBACK)) or die;
listen($s, 128) or die;
while (accept(my $c, $s)) {
    if (fork) { close $c; next }
    close $s; binmode $c; sysread $c, my $verb, 1;
    if ($verb eq "e") { while (sysread $c, my $data, 65536) { syswrite $c, $data } syswrite $c, "end" }
    if ($verb eq "c") { open STDIN, "<&", $c; open STDOUT, ">&", $c; exec "sha256sum" }
    if ($verb eq "s") {
        my ($piece, $at, $n) = (pack("L*", 0 .. 16383), 0, "");
        while (sysread $c, my $b, 1) { last if $b eq "\n"; $n .= $b }
        while ($at < $n) {
            my ($from, $left) = ($at % 65536, $n - $at);
            my $sent = syswrite $c, $piece, $left < 65536 - $from ? $left : 65536 - $from, $from;
            last unless $sent; $at += $sent } }
    exit }
"""
_PIECE = b"".join(number.to_bytes(4, "little") for number in range(16384))


class Ports(NamedTuple):
    v4: int
    v6: int
    closed: int


@pytest.fixture(scope="module")
def own() -> Iterator[Home]:
    with open_home() as home:
        if why := home.json("system", "info")["no_taps"]:
            pytest.skip(f"capability missing: taps: {why}")
        home.text("run", "-d", "-p", "0:80", "-p", "0:81", "-p", "0:82", "--name", "dev", IMAGE)
        serve(home, "dev")
        yield home


@pytest.fixture
def ports(own: Home) -> Ports:
    return Ports(*(one["port"] for one in own.json("vm", "port", "list", "dev")))


def serve(home: Home, machine: str) -> None:
    for v6, port in (("", "80"), ("1", "81")):
        home.text("exec", "-d", machine, "--", "perl", "-e", _SERVER, v6, port)
    wait_until(lambda: len(home.json("vm", "ports", machine)) >= 2, PATIENCE_S, "the guest serves")


def connect(port: int) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), timeout=PATIENCE_S)


def read_all(connection: socket.socket) -> bytes:
    pieces = []
    while data := connection.recv(1 << 16):
        pieces.append(data)
    return b"".join(pieces)


def echo(port: int, said: bytes) -> bytes:
    with connect(port) as connection:
        connection.sendall(b"e" + said)
        connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


def is_reset(port: int) -> bool:
    try:
        with connect(port) as connection:
            return connection.recv(1) == b"impossible"
    except ConnectionError:
        return True


@pytest.mark.parametrize("which", ["v4", "v6"])
def test_a_service_on_the_guests_loopback_is_reached_through_a_published_port(
    ports: Ports, which: str
) -> None:
    """The client's end is heard, and what the service says after that arrives."""
    port = getattr(ports, which)
    assert [echo(port, b"hello") for _ in range(5)] == [b"helloend"] * 5


def test_a_port_without_a_service_is_refused(ports: Ports) -> None:
    assert is_reset(ports.closed)


def test_fifty_megabytes_pass_each_way_byte_for_byte(ports: Ports) -> None:
    data = random.Random(12).randbytes(1 << 20)
    sha, left = hashlib.sha256(), LONG_BYTES
    with connect(ports.v4) as connection:
        connection.sendall(b"c")
        while left:
            piece = data[: min(left, len(data))]
            connection.sendall(piece)
            sha.update(piece)
            left -= len(piece)
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection).split()[0].decode() == sha.hexdigest()
    with connect(ports.v6) as connection:
        connection.sendall(b"s%d\n" % LONG_BYTES)
        connection.shutdown(socket.SHUT_WR)
        got = read_all(connection)
    assert got == (_PIECE * (LONG_BYTES // len(_PIECE) + 1))[:LONG_BYTES]


def test_who_does_not_read_holds_up_nobody_else(own: Home, ports: Ports) -> None:
    slow = [connect(ports.v4) for _ in range(5)]
    for connection in slow:
        connection.sendall(b"s%d\n" % LONG_BYTES)
    time.sleep(1)
    assert own.text("exec", "dev", "--", "sh", "-c", "seq 200000 | tail -1") == "200000\n"
    assert echo(ports.v4, b"quick") == b"quickend"
    for connection in slow:
        connection.close()


def test_many_at_once_are_served_and_the_guest_is_not_left_with_them(own: Home, ports: Ports) -> None:
    answers = []

    def ask() -> None:
        answers.append(echo(ports.v4, b"one of many"))

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [b"one of manyend"] * 40
    assert sum(one["running"] for one in own.json("vm", "execs", "dev")) == 2
    assert own.json("vm", "health", "dev")["agent"]["ok"]


def test_a_new_daemon_serves_it_again_and_a_connection_ends_with_the_old(own: Home, ports: Ports) -> None:
    with connect(ports.v4) as held:
        held.sendall(b"ehello")
        assert held.recv(5) == b"hello"
        own.text("system", "restart")
        assert is_over(held)
    wait_until(lambda: echo_or_nothing(ports.v4) == b"againend", PATIENCE_S, "the port is served again")
    own.text("vm", "pause", "dev")
    own.text("vm", "resume", "dev")
    assert echo(ports.v4, b"after a pause") == b"after a pauseend"


def is_over(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def echo_or_nothing(port: int) -> bytes:
    try:
        return echo(port, b"again")
    except OSError:
        return b""


def test_a_fork_and_a_restored_snapshot_serve_it_too(own: Home, ports: Ports) -> None:
    with connect(ports.v4) as held:
        held.sendall(b"ehello")
        assert held.recv(5) == b"hello"
        (child,) = own.text("vm", "fork", "dev").split()
        port = own.json("vm", "port", "list", child)[0]["port"]
        assert echo(port, b"child") == b"childend"
        held.sendall(b"goes on")
        assert held.recv(100) == b"goes on"
    own.text("rm", "-f", child)
    own.text("vm", "snapshot", "dev", "serving")
    own.text("vm", "stop", "dev")
    own.text("vm", "restore", "dev", "serving")
    (port, *_) = (one["port"] for one in own.json("vm", "port", "list", "dev"))
    assert echo(port, b"restored") == b"restoredend"


class Tunnel:
    """A tunnel that listens; ends with Ctrl-C at the end of the block."""

    def __init__(self, home: Home, *words: str) -> None:
        self.process = home.popen("vm", "tunnel", *words, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().decode().strip()
        self.port = int(self.said.rpartition(":")[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0


def test_a_tunnel_leads_to_a_port_until_it_is_ended(own: Home) -> None:
    with Tunnel(own, "dev", "80", "0") as tunnel:
        assert [echo(tunnel.port, b"hello") for _ in range(3)] == [b"helloend"] * 3
        with connect(tunnel.port) as slow, connect(tunnel.port) as long:
            slow.sendall(b"s%d\n" % LONG_BYTES)
            long.sendall(b"c")
            long.sendall(bytes(LONG_BYTES))
            long.shutdown(socket.SHUT_WR)
            assert read_all(long).split()[0].decode() == hashlib.sha256(bytes(LONG_BYTES)).hexdigest()
    with pytest.raises(ConnectionRefusedError):
        connect(tunnel.port)
    with Tunnel(own, "dev", "82") as tunnel:
        assert is_reset(tunnel.port)
        (port,) = (one["port"] for one in own.json("vm", "port", "list", "dev") if one["guest_port"] == 80)
        assert own.run("vm", "tunnel", "dev", "80", str(port)).returncode == 125


def test_a_tunnel_through_stdin_and_stdout_ends_with_the_service(own: Home) -> None:
    """As the program of ssh's ProxyCommand has to."""
    done = own.run("vm", "tunnel", "dev", "81", "-", stdin=b"ehello")
    assert (done.returncode, done.stdout) == (0, b"helloend")
    done = own.run("vm", "tunnel", "dev", "80", "-", stdin=b"s300000\n")
    assert done.stdout == (_PIECE * 5)[:300000]
    own.text("exec", "dev", "--", "true")
    refused = own.run("vm", "tunnel", "dev", "82", "-", stdin=b"")
    assert refused.returncode == 125 and b"nothing in dev accepts connections to port 82" in refused.stderr


def test_a_tunnel_reaches_a_machine_without_a_network(own: Home, name: str) -> None:
    own.text("run", "-d", "--network", "none", "--name", name, IMAGE)
    serve(own, name)
    with Tunnel(own, name, "80", "0") as tunnel:
        assert echo(tunnel.port, b"alone") == b"aloneend"
    own.text("rm", "-f", name)
    assert own.run("vm", "tunnel", name, "80").returncode == 125


def test_ports_are_added_and_removed_whatever_the_machine_does(own: Home, name: str) -> None:
    """Running, paused, asleep, stopped; and it stays so at the next start."""
    own.text("run", "-d", "-p", "0:80", "-p", "0:81", "--name", name, IMAGE)

    def published() -> dict[int, int]:
        return {one["guest_port"]: one["port"] for one in own.json("vm", "port", "list", name)}

    first = published()
    own.text("vm", "pause", name)
    own.text("vm", "port", "add", name, "0:90")
    own.text("vm", "port", "remove", name, f"{LOOPBACK}:{first[80]}:80")  # as the list shows it
    assert published().keys() == {81, 90}
    own.text("vm", "resume", name)
    own.text("vm", "stop", name)
    with socket.create_server((LOOPBACK, 0)) as taken:
        number = taken.getsockname()[1]
        own.text("vm", "port", "add", name, f"{number}:91")
        refused = own.run("vm", "start", name)
        assert refused.returncode == 125 and b"in use" in refused.stderr
        own.text("vm", "port", "remove", name, f"{number}:91")
    own.text("vm", "port", "add", name, "0:92")
    assert own.run("vm", "port", "remove", name, "0:80").returncode == 125
    own.text("vm", "start", name)
    assert published().keys() == {81, 90, 92}
    own.text("rm", "-f", name)
    options = ("-p", "0:80", "--idle-pause", "1s", "--name", name)
    own.text("run", "-d", *options, IMAGE, "--", "perl", "-e", _SERVER, "", "80")
    wait_until(lambda: own.json("vm", "ports", name), PATIENCE_S, "it serves")

    def wait_for_sleep() -> None:
        wait_until(lambda: own.json("vm", "show", name)["idle"], PATIENCE_S, "it sleeps")

    wait_for_sleep()
    own.text("vm", "port", "add", name, "0:80")
    assert own.json("vm", "show", name)["idle"]
    old, new = (one["port"] for one in own.json("vm", "port", "list", name))
    assert echo(new, b"wake up") == b"wake upend"
    wait_for_sleep()
    own.text("vm", "port", "remove", name, f"{LOOPBACK}:{old}:80")
    assert own.json("vm", "show", name)["idle"] and is_reset(old)
    assert echo(new, b"again") == b"againend"
    with Tunnel(own, name, "80", "0") as tunnel:
        wait_for_sleep()
        with connect(tunnel.port) as held:
            held.sendall(b"ehello")
            assert held.recv(5) == b"hello"
            time.sleep(3)
            assert not own.json("vm", "show", name)["idle"]
    own.text("rm", "-f", name)
