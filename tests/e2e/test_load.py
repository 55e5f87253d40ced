"""Many requests, and clients that do not read: others are not held up, and the daemon's memory does not grow. What is
compared is the same daemon, before and after, so that the host's own speed does not matter."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import unix_connect

from banger import Client
from tests.support.home import IMAGE, Home, wait_until

pytestmark = pytest.mark.e2e

IDLE_CLIENTS = 8
REPEATS = 15
# How much longer others may take. To be held up would take for ever.
MOST = 3.0
WARM_UP, MANY = 1500, 4000
# The share by which memory may differ between two looks. A leak of 1 kB a request would be more.
MAY_GROW = 1.05


def socket_of(home: Home) -> str:
    return str(home.json("system", "info")["socket"])


def typical_s(action: Callable[[], object]) -> float:
    taken = []
    for _ in range(REPEATS):
        begun = time.monotonic()
        action()
        taken.append(time.monotonic() - begun)
    return statistics.median(taken)


def compare(
    action: Callable[[], object], hinder: Callable[[], contextlib.AbstractContextManager[None]]
) -> None:
    """`action` takes not much longer while it is hindered than before and after that."""
    action()
    before = typical_s(action)
    with hinder():
        during = typical_s(action)
    after = typical_s(action)
    assert during < MOST * max(before, after), f"{before:.4f} s, {during:.4f} s, {after:.4f} s"


@contextmanager
def clients_that_do_not_read(path: str, machine: str) -> Iterator[None]:
    """Each has a command that writes without end. Their connections are full when this begins."""
    with ExitStack() as open_ones:
        for _ in range(IDLE_CLIENTS):
            to = f"ws://banger/v1/machines/{machine}/exec"
            client = open_ones.enter_context(
                unix_connect(path, to, max_queue=1, compression=None, close_timeout=0.1)
            )
            client.send(json.dumps({"command": {"argv": ["cat", "/dev/zero"]}}))
            assert json.loads(client.recv(timeout=60))["type"] == "started"
        time.sleep(1)
        yield


def test_a_client_of_a_stream_that_does_not_read_holds_nobody_up(home: Home, dev: str) -> None:
    path = socket_of(home)
    with Client(path) as client:

        def use() -> None:
            assert client.machines.exec(dev, ["echo", "fine"]).check().stdout == b"fine\n"
            assert dev in [machine.name for machine in client.machines.list()]

        compare(use, lambda: clients_that_do_not_read(path, dev))


class Follower:
    """Follows the events of machines that are created; the first word of each line is not looked at."""

    def __init__(self, path: str, query: str = "") -> None:
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(60)
        self.connection.connect(path)
        self.connection.sendall(
            f"GET /v1/events?follow=true{query} HTTP/1.1\r\nHost: banger\r\n\r\n".encode()
        )

    def wait_for(self, words: bytes) -> None:
        came = b""
        while words not in came:
            piece = self.connection.recv(64 * 1024)
            assert piece, came
            came += piece


@contextmanager
def followers_that_do_not_read(path: str) -> Iterator[None]:
    """Each asks for all events, which are more than its connection holds."""
    with ExitStack() as open_ones:
        for _ in range(IDLE_CLIENTS):
            open_ones.enter_context(Follower(path, "&after=0").connection)
        time.sleep(1)
        yield


def test_a_follower_of_events_that_does_not_read_delays_no_other(own_home: Home) -> None:
    path = socket_of(own_home)
    with Client(path) as client:
        for _ in range(600):
            client.machines.create(IMAGE, name="one-of-many", labels={"of": "x" * 100})
            client.machines.delete("one-of-many")
        follower = Follower(path)
        follower.wait_for(b"200 OK")

        def hear() -> None:
            client.machines.create(IMAGE, name="heard")
            client.machines.delete("heard")
            follower.wait_for(b'"machine.deleted"')

        with follower.connection:
            compare(hear, lambda: followers_that_do_not_read(path))


def test_memory_does_not_grow_with_requests(own_home: Home) -> None:
    path, pid = socket_of(own_home), own_home.daemon_pid()
    with Client(path) as client:
        for number in range(10):
            client.machines.create(IMAGE, name=f"kept-{number}")
    ask(path, WARM_UP)
    before = settled_bytes(pid)
    ask(path, MANY)
    after = settled_bytes(pid)
    assert after < MAY_GROW * before, f"{before} bytes after {WARM_UP} requests, {after} after {MANY} more"


def ask(path: str, count: int) -> None:
    """Requests of many kinds, some on a new connection, some refused."""
    line = connect(path)
    for number in range(count):
        if number % 100 == 0:
            line.close()
            line = connect(path)
        method, target, body = request(number)
        line.request(method, target, body)
        answer = line.getresponse()
        answer.read()
        assert answer.status < 500, target
    line.close()


def request(number: int) -> tuple[str, str, str | None]:
    targets = (
        "/v1/machines",
        "/v1/machines/of-nobody",
        "/v1/operations",
        "/v1/events?after=100000000",
        "/nothing",
    )
    name = f"passing-{number // 10}"
    if number % 10 == 0:
        return "POST", "/v1/machines", json.dumps({"image": IMAGE, "name": name})
    if number % 10 == 5:
        return "DELETE", f"/v1/machines/{name}", None
    return "GET", targets[number % len(targets)] if number % 2 else f"/v1/machines/kept-{number % 10}", None


def connect(path: str) -> http.client.HTTPConnection:
    line = http.client.HTTPConnection("localhost", timeout=60)
    line.sock = socket.socket(socket.AF_UNIX)
    line.sock.settimeout(60)
    line.sock.connect(path)
    return line


def settled_bytes(pid: int) -> int:
    """The memory that is in no file, once it changes no more."""
    looks = [proportional_bytes(pid)]

    def settled() -> bool:
        time.sleep(0.5)
        looks.append(proportional_bytes(pid))
        return looks[-1] == looks[-2]

    wait_until(settled, 20, "the daemon's memory changes no more")
    return looks[-1]


def proportional_bytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition("\nPss_Anon:")[2].split()[0]) * 1024
