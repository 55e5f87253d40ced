"""A leg of a tunnel: a client on one side, a stream that the test plays on the other."""

from __future__ import annotations

import select
import socket
import time
from typing import Any

import pytest

from banger.cli.tunnel import Client, Leg
from banger.client.messages import STDOUT, Event, Exited, Output, OutputEnded

PATIENCE_S = 20


class Stream:
    """A stream of a client, whose other end the test has."""

    def __init__(self) -> None:
        self._socket, self.daemon = socket.socketpair()
        self.events: list[Event] = []
        self.sent = b""
        self.stdin_room = 1 << 16
        self.ended = self.closed = False
        self.wants_write = self.has_early = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def says(self, *events: Event) -> None:
        self.events += events
        self.daemon.send(b".")

    def receive(self) -> list[Event]:
        self._socket.recv(100)
        events, self.events = self.events, []
        return events

    def send_stdin(self, data: bytes) -> None:
        self.sent += data

    def close_stdin(self) -> None:
        self.ended = True

    def __exit__(self, *_: object) -> None:
        self.closed = True
        self._socket.close()
        self.daemon.close()


def open_stream() -> Any:
    return Stream()


class Rig:
    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.client = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
        self.stream = open_stream()
        self.leg = Leg(self.stream, Client(ours))

    def go_on(self, until_s: float = 0.2) -> None:
        """Until nothing more happens."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.leg.over and time.monotonic() < deadline:
            poll = select.poll()
            for fd, events in dict(self.leg.interests()).items():
                poll.register(fd, events)
            ready = dict(poll.poll(until_s * 1000))
            if not ready:
                return
            self.leg.go_on(ready)


@pytest.fixture
def rig() -> Any:
    made = Rig()
    yield made
    made.leg.close(reset=True)
    made.client.close()


def exited(code: int) -> Exited:
    return Exited({"code": code})


def output(data: bytes) -> Output:
    return Output(STDOUT, memoryview(data))


def test_each_direction_ends_by_itself(rig: Rig) -> None:
    rig.stream.says(output(b"hello"), OutputEnded({}))
    rig.go_on()
    assert rig.client.recv(100) == b"hello" and rig.client.recv(100) == b""
    rig.client.sendall(b"and you")
    rig.client.shutdown(socket.SHUT_WR)
    rig.go_on()
    assert rig.stream.sent == b"and you" and rig.stream.ended and not rig.leg.over
    rig.stream.says(exited(0))
    rig.go_on()
    assert rig.leg.over and rig.stream.closed


def test_a_service_that_breaks_off_resets_the_client_and_what_it_said_before_arrives(rig: Rig) -> None:
    rig.stream.says(output(b"half"))
    rig.go_on()
    assert rig.client.recv(100) == b"half"
    rig.stream.says(exited(1))
    with pytest.raises(ConnectionResetError):
        rig.go_on()
    rig.leg.close(reset=True)
    with pytest.raises(ConnectionResetError):
        rig.client.recv(100)


def test_a_client_that_does_not_read_is_waited_for_and_gets_all_before_the_end(rig: Rig) -> None:
    data, pieces = bytes(range(256)) * 256, 100
    sent = 0
    for _ in range(pieces):
        rig.stream.says(output(data))
        sent += 1
        rig.go_on(0.01)
        if rig.stream.events:
            break
    assert rig.stream.events and sent < pieces  # the stream is not read any more
    rig.stream.says(OutputEnded({}), exited(0))
    got = b""
    rig.client.settimeout(PATIENCE_S)
    while len(got) < sent * len(data):
        got += rig.client.recv(1 << 20)
        rig.go_on(0.01)
    assert got == data * sent
    rig.go_on()
    assert rig.client.recv(100) == b"" and rig.leg.over


def test_a_client_that_breaks_off_ends_its_leg(rig: Rig) -> None:
    rig.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    rig.client.close()
    with pytest.raises(ConnectionResetError):
        rig.go_on()
