"""The agent's `listen`, as a program of this host under sanitizers, with the host's side of its stream: connections
that others make in a guest."""

from __future__ import annotations

import os
import random
import signal
import socket
import stat
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from banger.errors import AgentError
from banger.ssh.listener_messages import (
    CONNECTIONS_MAX,
    CREDIT_STEP_BYTES,
    PIECE_BYTES,
    WINDOW_BYTES,
    Kind,
    Message,
    MessageReader,
    make_credit,
)
from tests.support.home import wait_until

pytestmark = pytest.mark.integration

GUEST = Path(__file__).parents[2] / "guest"
PATIENCE_S = 60


class Host:
    """The host's side. What it is told is read as the translator reads it."""

    def __init__(self, program: subprocess.Popen[bytes]) -> None:
        assert program.stdin is not None and program.stdout is not None
        self.program, self.stdin, self.stdout = program, program.stdin, program.stdout
        self._reader = MessageReader()
        self._heard: list[Message] = []

    def say(self, *messages: Message) -> None:
        self.stdin.write(b"".join(message.encode() for message in messages))
        self.stdin.flush()

    def hear(self) -> Message:
        while not self._heard:
            data = os.read(self.stdout.fileno(), 65536)
            assert data, "it has ended"
            self._heard += self._reader.feed(data)
        return self._heard.pop(0)

    def hear_until(self, kind: Kind, number: int) -> bytes:
        """The data of a connection up to a message of another kind; gives credit for all of it."""
        data = bytearray()
        while (message := self.hear()).kind is not kind or message.number != number:
            if message.kind is Kind.DATA and message.number == number:
                data += message.data
                self.say(make_credit(number, len(message.data)))
        return bytes(data)

    def ended(self) -> int:
        return self.program.wait(timeout=PATIENCE_S)


@contextmanager
def listening(applets: Path, home: Path, *words: str) -> Iterator[Host]:
    with subprocess.Popen(
        [applets, "listen", *words],
        env={"HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        try:
            yield Host(program)
        finally:
            program.kill()


def connect(to: str | int) -> socket.socket:
    if isinstance(to, int):
        return socket.create_connection(("127.0.0.1", to), timeout=PATIENCE_S)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE_S)
    connection.connect(to)
    return connection


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_port_of_its_choice_is_told_and_who_connects_is_told(applets: Path, tmp_path: Path) -> None:
    with listening(applets, tmp_path, "tcp", "localhost", "0") as host:
        ready = host.hear()
        assert ready.kind is Kind.READY and ready.number == 0
        with connect(int(ready.data)) as one:
            opened = host.hear()
            address, port = opened.data.split()
            assert (opened.kind, opened.number) == (Kind.OPENED, 1)
            assert (address, int(port)) == (b"127.0.0.1", one.getsockname()[1])
        if socket.has_ipv6:
            with socket.create_connection(("::1", int(ready.data)), timeout=PATIENCE_S):
                while (opened := host.hear()).kind is not Kind.OPENED:
                    pass
                assert opened.number == 2 and opened.data.startswith(b"::1 ")


@pytest.mark.parametrize("unix", [True, False])
@pytest.mark.parametrize("length", [0, 3, 1_000_003])
def test_bytes_go_both_ways_and_each_way_ends_by_itself(
    applets: Path, tmp_path: Path, unix: bool, length: int
) -> None:
    data = os.urandom(length)
    words = ("unix", "s") if unix else ("tcp", "127.0.0.1", "0")
    with listening(applets, tmp_path, *words) as host:
        name = host.hear().data.decode()
        with connect(str(tmp_path / name) if unix else int(name)) as one:
            opened = host.hear()
            assert opened == Message(Kind.OPENED, 1, opened.data) and bool(opened.data) is not unix
            pid = os.fork()
            if not pid:
                one.sendall(data)
                one.shutdown(socket.SHUT_WR)
                os._exit(0 if read_all(one) == data[::-1] else 1)
            assert host.hear_until(Kind.END, 1) == data
            answer, room = memoryview(data[::-1]), WINDOW_BYTES
            while answer:
                piece = answer[: min(room, PIECE_BYTES)]
                answer, room = answer[len(piece) :], room - len(piece)
                host.say(Message(Kind.DATA, 1, bytes(piece)))
                while room < PIECE_BYTES:
                    room += host.hear().credit
            host.say(Message(Kind.END, 1), Message(Kind.CREDIT, 1, b"\0\0\0\0"))
            assert os.waitpid(pid, 0)[1] == 0
        with connect(str(tmp_path / name) if unix else int(name)):
            while (opened := host.hear()).kind is Kind.CREDIT:
                pass
            assert (opened.kind, opened.number) == (Kind.OPENED, 2)


def test_what_the_host_does_not_take_stays_with_whoever_says_it_and_hinders_nobody_else(
    applets: Path, tmp_path: Path
) -> None:
    with listening(applets, tmp_path, "unix", "s") as host:
        host.hear()
        with connect(str(tmp_path / "s")) as loud, connect(str(tmp_path / "s")) as quiet:
            assert {host.hear().number, host.hear().number} == {1, 2}
            loud.setblocking(False)
            try:
                while True:
                    loud.send(b"x" * 65536)
            except BlockingIOError:
                pass
            heard = 0
            while heard < WINDOW_BYTES:
                message = host.hear()
                assert (message.kind, message.number) == (Kind.DATA, 1)
                heard += len(message.data)
            assert heard == WINDOW_BYTES
            quiet.sendall(b"hi")
            assert host.hear() == Message(Kind.DATA, 2, b"hi")
            host.say(make_credit(1, 100))
            assert host.hear() == Message(Kind.DATA, 1, b"x" * 100)


def test_no_more_connections_than_it_may_and_the_next_when_one_has_ended(
    applets: Path, tmp_path: Path
) -> None:
    with listening(applets, tmp_path, "unix", "s") as host:
        host.hear()
        clients: list[socket.socket] = []
        try:
            for number in range(1, CONNECTIONS_MAX + 1):
                clients.append(connect(str(tmp_path / "s")))
                assert host.hear() == Message(Kind.OPENED, number)
            clients += [connect(str(tmp_path / "s")) for _ in range(3)]
            clients[0].sendall(b"?")
            assert host.hear() == Message(Kind.DATA, 1, b"?")
            host.say(Message(Kind.BROKEN, 1))
            assert host.hear() == Message(Kind.OPENED, CONNECTIONS_MAX + 1)
            assert clients[0].recv(1) == b""
        finally:
            for client in clients:
                client.close()


def test_a_reset_is_told_as_one(applets: Path, tmp_path: Path) -> None:
    with listening(applets, tmp_path, "tcp", "localhost", "0") as host:
        with connect(int(host.hear().data)) as one:
            assert host.hear().kind is Kind.OPENED
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert host.hear() == Message(Kind.BROKEN, 1)
        host.say(
            Message(Kind.DATA, 1, b"late"), Message(Kind.END, 1), Message(Kind.BROKEN, 1)
        )  # they crossed


def test_one_that_hears_nothing_any_more_may_still_say_something(applets: Path, tmp_path: Path) -> None:
    with listening(applets, tmp_path, "unix", "s") as host:
        host.hear()
        with connect(str(tmp_path / "s")) as one:
            host.hear()
            one.shutdown(socket.SHUT_RD)
            for _ in range(2 * WINDOW_BYTES // CREDIT_STEP_BYTES):
                host.say(Message(Kind.DATA, 1, b"x" * CREDIT_STEP_BYTES))
                assert host.hear().kind is Kind.CREDIT  # or the host would wait for ever
            one.sendall(b"still here")
            assert host.hear() == Message(Kind.DATA, 1, b"still here")
        assert host.hear() == Message(Kind.BROKEN, 1)


def test_after_stop_nobody_connects_and_those_that_are_there_go_on(applets: Path, tmp_path: Path) -> None:
    with listening(applets, tmp_path, "unix", "s") as host:
        host.hear()
        with connect(str(tmp_path / "s")) as one:
            host.hear()
            host.say(Message(Kind.STOP, 0))
            wait_until(lambda: not (tmp_path / "s").exists(), PATIENCE_S, "the socket is gone")
            one.sendall(b"on")
            one.shutdown(socket.SHUT_WR)
            assert [host.hear(), host.hear()] == [Message(Kind.DATA, 1, b"on"), Message(Kind.END, 1)]
            host.say(Message(Kind.DATA, 1, b"and on"), Message(Kind.END, 1))
            assert read_all(one) == b"and on"
        assert host.ended() == 0


@pytest.mark.parametrize("how", ["stdin", "hang-up", "terminated"])
def test_it_ends_with_its_host_and_leaves_nothing(applets: Path, tmp_path: Path, how: str) -> None:
    with listening(applets, tmp_path, "agent") as host:
        path = Path(host.hear().data.decode())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        with connect(str(path)) as one:
            assert host.hear().kind is Kind.OPENED
            if how == "stdin":
                host.stdin.close()
            else:
                host.program.send_signal(signal.SIGHUP if how == "hang-up" else signal.SIGTERM)
            assert host.ended() in (0, 128 + signal.SIGHUP, 128 + signal.SIGTERM)
            assert read_all(one) == b""
        assert not path.parent.exists()


def test_what_took_its_place_stays(applets: Path, tmp_path: Path) -> None:
    with listening(applets, tmp_path, "unix", "s") as host:
        host.hear()
        (tmp_path / "s").unlink()
        (tmp_path / "s").write_text("another")
        host.stdin.close()
        assert host.ended() == 0
    assert (tmp_path / "s").read_text() == "another"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("unix",),
        ("unix", ""),
        ("unix", "x" * 200),
        ("unix", "none/s"),
        ("unix", "taken"),
        ("tcp", "localhost"),
        ("tcp", "localhost", "http"),
        ("tcp", "localhost", "65536"),
        ("tcp", "localhost", "-1"),
        ("tcp", "203.0.113.1", "0"),
        ("tcp", "999.999.999.999", "0"),
        ("udp", "localhost", "0"),
        ("agent", "more"),
    ],
)
def test_what_cannot_listen_says_so_and_nothing_on_stdout(
    applets: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "taken").touch()
    done = subprocess.run(
        [applets, "listen", *words],
        env={"HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout) == (1, b"") and done.stderr.count(b"\n") == 1


def test_a_port_that_is_taken_on_either_loopback_is_refused(applets: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with listening(applets, tmp_path, "tcp", "localhost", port) as host:
            assert host.ended() == 1


def message(kind: int, number: int, data: bytes = b"") -> bytes:
    return struct.pack("<HHI", kind, len(data), number) + data


@pytest.mark.parametrize(
    "sent",
    [
        message(0, 1),
        message(1, 0, b"x"),
        message(2, 1),
        message(8, 1),
        message(Kind.DATA, 0, b"x"),
        message(Kind.DATA, 1),
        message(Kind.DATA, 2, b"x"),
        message(Kind.END, 1, b"x"),
        message(Kind.END, 1) + message(Kind.DATA, 1, b"x"),
        message(Kind.CREDIT, 1, b"\1\0\0"),
        message(Kind.CREDIT, 1, b"\1\0\0\0"),
        message(Kind.CREDIT, 1, b"\xff\xff\xff\xff"),
        message(Kind.STOP, 1),
        message(Kind.STOP, 0, b"x"),
        struct.pack("<HHI", Kind.DATA, PIECE_BYTES + 1, 1),
        message(Kind.DATA, 1, b"x" * PIECE_BYTES) * (WINDOW_BYTES // PIECE_BYTES) * 60,
    ],
)
def test_what_no_host_says_ends_it(applets: Path, tmp_path: Path, sent: bytes) -> None:
    with listening(applets, tmp_path, "unix", "s") as host:
        host.hear()
        with connect(str(tmp_path / "s")):  # it takes nothing
            host.hear()
            try:
                host.stdin.write(sent)
                host.stdin.flush()
            except BrokenPipeError:
                pass
            assert host.ended() == 1
    assert not (tmp_path / "s").exists()


def test_no_bytes_of_a_host_harm_it(applets: Path, tmp_path: Path) -> None:
    """The sanitizers would end it with another code."""
    chance = random.Random(7)
    for _ in range(60):
        with listening(applets, tmp_path, "unix", "s") as host:
            host.hear()
            with connect(str(tmp_path / "s")) as one:
                host.hear()
                one.sendall(b"hello")
                sent = b"".join(
                    message(chance.choice((3, 3, 3, 4, 5, 6, 7, 9)), chance.choice((0, 1, 1, 1, 2)), some)
                    for some in (chance.randbytes(chance.choice((0, 4, 4, 900))) for _ in range(12))
                )
                try:
                    host.stdin.write(sent[: chance.randrange(len(sent))])
                    host.stdin.close()
                except BrokenPipeError:
                    pass
                assert host.ended() in (0, 1)


@pytest.mark.parametrize(
    "sent",
    [
        message(0, 0),
        message(Kind.READY, 1, b"x"),
        message(Kind.READY, 0),
        message(Kind.READY, 0, b"x" * 257),
        message(Kind.OPENED, 0),
        message(Kind.DATA, 0, b"x"),
        message(Kind.DATA, 1),
        message(Kind.CREDIT, 1, b"x"),
        message(Kind.STOP, 0),
        struct.pack("<HHI", Kind.DATA, PIECE_BYTES + 1, 1),
    ],
)
def test_what_no_listener_says_is_refused_by_the_host_before_it_is_complete(sent: bytes) -> None:
    with pytest.raises(AgentError):
        list(MessageReader().feed(sent[:8]))


def test_messages_are_read_whatever_pieces_they_come_in() -> None:
    whole = message(1, 0, b"80") + message(2, 1) + message(3, 1, b"abc") + message(4, 1)
    for size in (1, 2, 3, 7, 100):
        reader, heard = MessageReader(), []
        for at in range(0, len(whole), size):
            heard += list(reader.feed(whole[at : at + size]))
        assert b"".join(one.encode() for one in heard) == whole
