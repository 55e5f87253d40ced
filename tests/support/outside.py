"""A world outside of this host, for machines to reach: a network namespace, joined to this one by a pair of links.

    this host                         the world
    203.0.113.129, 2001:db8:9::1  ──  203.0.113.130, 2001:db8:9::2   the internet
    172.29.213.1                  ──  172.29.213.2                   a private network
                                      169.254.169.254                a metadata service, by a route

Its servers say who they are and who asks. Only root can make it.
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

_LOCK = Path(tempfile.gettempdir()) / "banger-world.lock"
_NAMESPACE, _HERE, _THERE = "banger-world", "bangerw0", "bangerw1"
INTERNET, INTERNET_6, PRIVATE, METADATA = "203.0.113.130", "2001:db8:9::2", "172.29.213.2", "169.254.169.254"
OWN, OWN_PRIVATE = "203.0.113.129", "172.29.213.1"
PORT = 8088
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
    """The world and its servers, until the end of the block. Skips the test where it cannot be made. There is one on a
    host: tests of other checkouts wait for its end."""
    if os.geteuid() != 0:
        pytest.skip("capability missing: only root makes links to a world outside")
    with open(_LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield from _made()


def _made() -> Iterator[None]:
    try:
        _make()
        with serving(*(f"{a},{PORT}" for a in (INTERNET, INTERNET_6, PRIVATE, METADATA)), within=_NAMESPACE):
            yield
    finally:
        for words in (f"netns del {_NAMESPACE}", f"link del {_HERE}"):
            subprocess.run(["ip", *words.split()], capture_output=True)


def _make() -> None:
    for words in (
        f"netns add {_NAMESPACE}",
        f"link add {_HERE} type veth peer name {_THERE} netns {_NAMESPACE}",
        f"addr add {OWN}/30 dev {_HERE}",
        f"addr add {OWN_PRIVATE}/30 dev {_HERE}",
        f"addr add 2001:db8:9::1/64 dev {_HERE} nodad",
        f"link set {_HERE} up",
        f"-n {_NAMESPACE} addr add {INTERNET}/30 dev {_THERE}",
        f"-n {_NAMESPACE} addr add {PRIVATE}/30 dev {_THERE}",
        f"-n {_NAMESPACE} addr add {INTERNET_6}/64 dev {_THERE} nodad",
        f"-n {_NAMESPACE} addr add {METADATA}/32 dev lo",
        f"-n {_NAMESPACE} link set lo up",
        f"-n {_NAMESPACE} link set {_THERE} up",
        f"route add {METADATA}/32 dev {_HERE}",
        f"-6 route add 2000::1/128 via {INTERNET_6} dev {_HERE}",  # a way into the IPv6 world, as banger looks for it
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
