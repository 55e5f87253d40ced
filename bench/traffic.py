"""Bytes and connections between a guest and this host's 127.0.0.1, and between two guests, by this host's clock."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.place import BANGER

LOOPBACK = "127.0.0.1"
_LIMIT_S = 120
_CHUNK = 1 << 18
_CONNECT = 'use IO::Socket::INET; sub dial { IO::Socket::INET->new("$ARGV[0]:$ARGV[1]") or die "$@\n" }'
# Each gets an address, a port and a count.
_SEND = r"""
my ($s, $left, $chunk) = (dial, $ARGV[2], "x" x (1 << 18));
while ($left > 0) {
    my $sent = syswrite $s, $chunk, $left < length $chunk ? $left : length $chunk;
    defined $sent or die "$!\n";
    $left -= $sent;
}
sysread $s, $chunk, 1;
"""
_RECEIVE = r"""
my ($s, $left, $chunk) = (dial, $ARGV[2], "");
while ($left > 0) { $left -= (sysread $s, $chunk, 1 << 18) || die "cut off\n" }
syswrite $s, "x";
"""
_ECHO = r"""
for (1 .. $ARGV[2]) {
    my ($s, $answer) = (dial, "");
    syswrite $s, "x";
    sysread($s, $answer, 1) == 1 or die "no echo\n";
}
"""
# Between guests: these get a peer's address and port, too. The host hears of the beginning and of the end.
_PEER = r"""
sub peer {
    for (1 .. 200) {
        my $s = IO::Socket::INET->new("$ARGV[3]:$ARGV[4]");
        return $s if $s;
        select undef, undef, undef, 0.05;
    }
    die "$@\n";
}
"""
_SEND_TO_PEER = (
    _PEER
    + r"""
my ($told, $s, $left, $chunk) = (dial, peer, $ARGV[2], "x" x (1 << 18));
syswrite $told, "b";
while ($left > 0) {
    my $sent = syswrite $s, $chunk, $left < length $chunk ? $left : length $chunk;
    defined $sent or die "$!\n";
    $left -= $sent;
}
shutdown $s, 1;
sysread $s, $chunk, 1;
syswrite $told, "e";
"""
)
_ECHO_OF_PEER = (
    _PEER
    + r"""
my ($told, $answer) = (dial, "");
for (0 .. $ARGV[2]) {
    syswrite $told, "b" if $_ == 1;
    my $s = peer;
    syswrite $s, "x";
    sysread($s, $answer, 1) == 1 or die "no echo\n";
}
syswrite $told, "e";
"""
)
# In the guest: takes all that a connection sends, then answers.
SINK = r"""
use IO::Socket::INET;
my $listener = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 8, ReuseAddr => 1) or die "$@\n";
while (my $s = $listener->accept) { my $data; 1 while sysread $s, $data, 1 << 18; syswrite $s, "x" }
"""
# In the guest: what each of many connections sends comes back.
SERVER = r"""
use IO::Select; use IO::Socket::INET;
my $listener = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 512, ReuseAddr => 1) or die "$@\n";
my $all = IO::Select->new($listener);
while (1) { for my $s ($all->can_read) {
    if ($s == $listener) { my $new = $s->accept; $all->add($new) if $new; next }
    if (sysread $s, my $data, 4096) { syswrite $s, $data } else { $all->remove($s); close $s }
} }
"""


def send_s(machine: str, gateway: str, size: int) -> float:
    """A guest sends `size` bytes: from its connection until all of them are here."""
    with _guest(_SEND, machine, gateway, size) as listener, listener.accept()[0] as connection:
        begun = time.perf_counter()
        buffer, left = bytearray(_CHUNK), size
        while left > 0:
            left -= _must(connection.recv_into(buffer))
        taken = time.perf_counter() - begun
        connection.sendall(b"x")
    return taken


def receive_s(machine: str, gateway: str, size: int) -> float:
    """A guest receives `size` bytes: from the first one until it says that it has the last one."""
    with _guest(_RECEIVE, machine, gateway, size) as listener, listener.accept()[0] as connection:
        begun = time.perf_counter()
        chunk = bytes(_CHUNK)
        for _ in range(size // _CHUNK):
            connection.sendall(chunk)
        connection.sendall(bytes(size % _CHUNK))
        _must(len(connection.recv(1)))
        return time.perf_counter() - begun


def echo_ms(machine: str, gateway: str, count: int) -> float:
    """A guest connects `count` times, one after the other, and waits each time for a byte that comes back: the time of
    one, with what the guest's program does between two. The first one is not counted."""
    with _guest(_ECHO, machine, gateway, count + 1) as listener:
        _echo_one(listener)
        begun = time.perf_counter()
        for _ in range(count):
            _echo_one(listener)
        return (time.perf_counter() - begun) * 1000 / count


def send_to_peer_s(machine: str, gateway: str, peer: tuple[str, int], size: int) -> float:
    """A guest sends `size` bytes to a `SINK` of another: from its connection until the other has all of them."""
    return _told_s(_SEND_TO_PEER, machine, gateway, peer, size)


def echo_of_peer_ms(machine: str, gateway: str, peer: tuple[str, int], count: int) -> float:
    """As `echo_ms`, with a `SERVER` of another guest."""
    return _told_s(_ECHO_OF_PEER, machine, gateway, peer, count) * 1000 / count


def _told_s(program: str, machine: str, gateway: str, peer: tuple[str, int], count: int) -> float:
    with _guest(program, machine, gateway, count, *peer) as listener, listener.accept()[0] as told:
        told.settimeout(_LIMIT_S)
        _must(len(told.recv(1)))
        begun = time.perf_counter()
        _must(len(told.recv(1)))
        return time.perf_counter() - begun


def ask(port: int, count: int) -> tuple[int, float]:
    """So many connections to a `SERVER` behind a port of this host, one after the other: how many had no answer, and
    the time of one in ms."""
    begun = time.perf_counter()
    failed = sum(not _has_answer(port) for _ in range(count))
    return failed, (time.perf_counter() - begun) * 1000 / count


@contextmanager
def asked_at_once(port: int, count: int) -> Iterator[tuple[int, float]]:
    """As `ask`, with all of them open together until the end of the block; the time is that of all."""
    with ExitStack() as stack:
        begun = time.perf_counter()
        connections = [stack.enter_context(_connect(port)) for _ in range(count)]
        for connection in connections:
            connection.sendall(b"x")
        failed = sum(not _answers(connection) for connection in connections)
        yield failed, (time.perf_counter() - begun) * 1000


def _connect(port: int) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), timeout=_LIMIT_S)


def _has_answer(port: int) -> bool:
    try:
        with _connect(port) as connection:
            connection.sendall(b"x")
            return _answers(connection)
    except OSError:
        return False


def _answers(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b"x"
    except OSError:
        return False


def _echo_one(listener: socket.socket) -> None:
    with listener.accept()[0] as connection:
        connection.sendall(connection.recv(1))


def _must(count: int) -> int:
    if not count:
        raise SystemExit("bench: the guest closed its connection too early")
    return count


@contextmanager
def _guest(program: str, machine: str, gateway: str, count: int, *more: str | int) -> Iterator[socket.socket]:
    """A program in a guest that connects to what the block is given. It must end well after the block."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.settimeout(_LIMIT_S)
        perl = (
            "perl",
            "-e",
            _CONNECT + program,
            gateway,
            str(listener.getsockname()[1]),
            str(count),
            *map(str, more),
        )
        argv = [BANGER, "vm", "exec", machine, "--", *perl]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield listener
            except BaseException:
                process.kill()
                raise
            if code := process.wait(_LIMIT_S):
                said = process.stderr.read() if process.stderr else ""
                raise SystemExit(f"bench: a program in {machine} ended with {code}: {said}")
