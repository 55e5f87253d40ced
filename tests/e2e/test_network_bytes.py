"""What a guest sends and receives through keeper and relay is byte for byte what was sent, at full speed and in both
directions at once: the link's MTU, checksums and segments are right from end to end."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.home import IMAGE, Home

pytestmark = pytest.mark.e2e

GATEWAY = "10.213.0.1"
# No power of two: what is lost, doubled or moved in pieces of any usual size shows.
PATTERN = os.urandom(1_000_003)


@pytest.fixture(autouse=True)
def on_taps(home: Home) -> None:
    if why := home.json("system", "info")["no_taps"]:
        pytest.skip(f"capability missing: taps: {why}")


def pieces(size: int) -> Iterator[bytes]:
    while size > 0:
        yield PATTERN[:size]
        size -= len(PATTERN)


def sum_of(size: int) -> str:
    expected = hashlib.sha256()
    for piece in pieces(size):
        expected.update(piece)
    return expected.hexdigest()


def test_what_a_guest_sends_back_is_what_it_received(home: Home, name: str) -> None:
    size = 256 << 20
    home.text("run", "-d", "--network", "host", "--name", name, IMAGE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        script = f"exec 3<>/dev/tcp/{GATEWAY}/{listener.getsockname()[1]}; cat <&3 >&3"
        with home.popen("exec", name, "--", "bash", "-c", script) as process, listener.accept()[0] as guest:
            sending = threading.Thread(target=send, args=(guest, size))
            sending.start()
            received, digest = receive(guest)
            sending.join()
            assert process.wait(60) == 0
    assert (received, digest) == (size, sum_of(size))
    home.text("rm", "-f", name)


def send(guest: socket.socket, size: int) -> None:
    for piece in pieces(size):
        guest.sendall(piece)
    guest.shutdown(socket.SHUT_WR)


def receive(guest: socket.socket) -> tuple[int, str]:
    """How many bytes came until the end, and their sum."""
    received, digest = 0, hashlib.sha256()
    while data := guest.recv(1 << 18):
        received += len(data)
        digest.update(data)
    return received, digest.hexdigest()


def test_bytes_arrive_in_each_direction_alone(home: Home, name: str) -> None:
    """As sums that the guest and the host make on their own."""
    size = 32 << 20
    home.text("run", "-d", "--network", "host", "--name", name, IMAGE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        connect = f"exec 3<>/dev/tcp/{GATEWAY}/{listener.getsockname()[1]}"
        keep, give = f"{connect}; cat <&3 >/tmp/kept", f"{connect}; cat /tmp/kept >&3"
        with home.popen("exec", name, "--", "bash", "-c", keep) as process, listener.accept()[0] as guest:
            send(guest, size)
            assert process.wait(60) == 0
        kept = home.text("exec", name, "--", "sha256sum", "/tmp/kept").split()[0]
        with home.popen("exec", name, "--", "bash", "-c", give) as process, listener.accept()[0] as guest:
            received, digest = receive(guest)
            assert process.wait(60) == 0
    assert (received, digest, kept) == (size, sum_of(size), sum_of(size))
    home.text("rm", "-f", name)
