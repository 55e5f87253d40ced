"""A world outside of this host, for machines to reach: a network namespace, joined to this one by a pair of links.

    this host                         the world
    203.0.113.129, 2001:db8:9:0::1  ──  203.0.113.130, 2001:db8:9:0::2   the internet
    172.29.213.1                    ──  172.29.213.2                     a private network
                                        169.254.169.254                  a metadata service, by a route

Its servers say who they are and who asks. Only root can make it. Each process of the tests has a world of its own, with
names, addresses and a port of its own; the numbers above are those of the first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_WORLDS = 16


def _take_number() -> int:
    """The number of a world that no other process has; it is this one's until the process ends."""
    for number in range(_WORLDS):
        lock = os.open(
            Path(tempfile.gettempdir()) / f"banger-world-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return number
        except BlockingIOError:
            os.close(lock)
    raise RuntimeError(f"{_WORLDS} processes of tests have worlds outside")


_N = _take_number()
_NAMESPACE, _HERE, _THERE = f"banger-world-{_N}", f"bangerw{_N}h", f"bangerw{_N}t"
INTERNET, OWN = f"203.0.113.{4 * _N + 130}", f"203.0.113.{4 * _N + 129}"
INTERNET_6, OWN_6 = f"2001:db8:9:{_N:x}::2", f"2001:db8:9:{_N:x}::1"
PRIVATE, OWN_PRIVATE = f"172.29.{213 + _N}.2", f"172.29.{213 + _N}.1"
METADATA = f"169.254.169.{254 - _N}"
PORT = 8088 + _N
_SERVER = """
import socket, sys, threading
def serve(address, port, kind):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    if kind == socket.SOCK_DGRAM:
        while True:
            data, peer = s.recvfrom(2000)
            s.sendto(f"{address} heard {data.decode()}\\n".encode(), peer)
    s.listen(64)
    while True:
        c, peer = s.accept()
        c.sendall(f"this is {address}\\n".encode())
        c.close()
for word in sys.argv[1:]:
    address, port = word.split(",")
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        threading.Thread(target=serve, args=(address, int(port), kind), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """The world and its servers, until the end of the block. Skips the test where it cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("capability missing: only root makes links to a world outside")
    _remove()  # that of a run that was killed
    try:
        _make()
        with serving(*(f"{a},{PORT}" for a in (INTERNET, INTERNET_6, PRIVATE, METADATA)), within=_NAMESPACE):
            yield
    finally:
        _remove()


def _remove() -> None:
    for words in (f"netns del {_NAMESPACE}", f"link del {_HERE}"):
        subprocess.run(["ip", *words.split()], capture_output=True)


def _make() -> None:
    for words in (
        f"netns add {_NAMESPACE}",
        f"link add {_HERE} type veth peer name {_THERE} netns {_NAMESPACE}",
        f"addr add {OWN}/30 dev {_HERE}",
        f"addr add {OWN_PRIVATE}/30 dev {_HERE}",
        f"addr add {OWN_6}/64 dev {_HERE} nodad",
        f"link set {_HERE} up",
        f"-n {_NAMESPACE} addr add {INTERNET}/30 dev {_THERE}",
        f"-n {_NAMESPACE} addr add {PRIVATE}/30 dev {_THERE}",
        f"-n {_NAMESPACE} addr add {INTERNET_6}/64 dev {_THERE} nodad",
        f"-n {_NAMESPACE} addr add {METADATA}/32 dev lo",
        f"-n {_NAMESPACE} link set lo up",
        f"-n {_NAMESPACE} link set {_THERE} up",
        f"route add {METADATA}/32 dev {_HERE}",
        # A way into the IPv6 world, as banger looks for it.
        f"-6 route add 2000::1/128 via {INTERNET_6} dev {_HERE} metric {100 + _N}",
    ):
        done = subprocess.run(["ip", *words.split()], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"capability missing: ip {words}: {done.stderr.strip()}")


@contextlib.contextmanager
def serving(*places: str, within: str = "") -> Iterator[None]:
    """Servers at each "ADDRESS,PORT", TCP and UDP, on this host or in a namespace."""
    prefix = ["ip", "netns", "exec", within] if within else []
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", _SERVER, *places], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def asking(address: str, port: int = PORT, patience_s: int = 30) -> list[str]:
    """The command by which a guest asks a server. What is denied is refused at once; a busy host is slow."""
    return ["timeout", str(patience_s), "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}; cat <&3"]
