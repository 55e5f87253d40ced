"""How long both clients wait: for all of an answer as the caller says, else for as long as the daemon lives."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from banger import AsyncClient, Client
from banger.client import patience
from banger.errors import Error

LONG_S = 60.0


class Peer:
    """Who listens as a daemon would: `answer` is called with each connection and its first line, in a thread."""

    def __init__(self, path: str, answer: Callable[[socket.socket, bytes], None]) -> None:
        self.path = path
        self.asked: list[bytes] = []
        self.ended = threading.Event()
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(50)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            line = connection.recv(65536).split(b"\r\n")[0]
            self.asked.append(line)
            self._answer(connection, line)

    def close(self) -> None:
        self.ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def peer(tmp_path: Path, answer: Callable[[socket.socket, bytes], None]) -> Iterator[Peer]:
    opened = Peer(str(tmp_path / "peer.sock"), answer)
    try:
        yield opened
    finally:
        opened.close()


def both(path: str, call: Callable[[Any], Any], timeout_s: float | None = None) -> list[Error | None]:
    """What each client's call raised."""

    async def ask() -> None:
        await call(AsyncClient(path, start=False, timeout_s=timeout_s))

    outcomes: list[Error | None] = []
    for body in (lambda: call(Client(path, start=False, timeout_s=timeout_s)), lambda: asyncio.run(ask())):
        try:
            body()
        except Error as exc:
            outcomes.append(exc)
        else:
            outcomes.append(None)
    return outcomes


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LOOK_AFTER_S", 0.1)
    monkeypatch.setattr(patience, "LIFE_S", 0.2)


def test_a_limit_of_the_caller_is_for_the_whole_answer_however_it_drips(tmp_path: Path) -> None:
    opened: Peer

    def drip(connection: socket.socket, line: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not opened.ended.wait(0.02):
            connection.sendall(b" ")

    with peer(tmp_path, drip) as opened:
        for call in (lambda c: c.machines.list(), lambda c: c.machines.kill("x")):
            for error in both(opened.path, call, timeout_s=0.3):
                assert error is not None and error.code == "timeout"
                assert "within 0.3 s" in error.message and "timeout_s" in error.hint


def test_a_limit_can_be_another_for_one_call(tmp_path: Path) -> None:
    def stay_silent(connection: socket.socket, line: bytes) -> None:
        opened.ended.wait(LONG_S)

    with peer(tmp_path, stay_silent) as opened:
        with pytest.raises(Error, match=r"within 0\.1 s"):
            Client(opened.path, start=False).with_timeout(0.1).machines.kill("x")
        with pytest.raises(Error, match=r"within 0\.1 s"):
            asyncio.run(AsyncClient(opened.path, start=False).with_timeout(0.1).machines.kill("x"))


@pytest.mark.usefixtures("hasty")
def test_long_work_of_a_daemon_that_lives_is_waited_for(tmp_path: Path) -> None:
    """However long it is silent there: it is asked on another connection whether it lives."""

    def work(connection: socket.socket, line: bytes) -> None:
        while b"session" not in line and count(b"session") < 3 * count(b"DELETE"):
            opened.ended.wait(0.02)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    def count(word: bytes) -> int:
        return sum(word in asked for asked in opened.asked)

    with peer(tmp_path, work) as opened:
        assert both(opened.path, lambda c: c.machines.delete("x")) == [None, None]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("streams", [False, True])
def test_a_daemon_that_answers_nobody_is_given_up(tmp_path: Path, streams: bool) -> None:
    def stay_silent(connection: socket.socket, line: bytes) -> None:
        opened.ended.wait(LONG_S)

    def run(client: Any) -> Any:
        return client.machines.exec("x", ["true"]) if streams else client.machines.kill("x")

    with peer(tmp_path, stay_silent) as opened:
        for error in both(opened.path, run):
            assert error is not None and error.code == "timeout" and "silent for 0.2 s" in error.message


def test_a_stream_has_no_limit_once_it_has_begun(tmp_path: Path) -> None:
    def tell(connection: socket.socket, line: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        for letter in b"abcdef":
            opened.ended.wait(0.15)
            connection.sendall(bytes([letter]))

    async def read() -> bytes:
        client = AsyncClient(opened.path, start=False, timeout_s=0.5)
        return b"".join([piece async for piece in client.machines.logs("x")])

    with peer(tmp_path, tell) as opened:
        client = Client(opened.path, start=False, timeout_s=0.5)
        assert b"".join(client.machines.logs("x")) == asyncio.run(read()) == b"abcdef"


def test_what_the_body_is_read_from_holds_up_nobody_else(tmp_path: Path) -> None:
    """The loop of the asyncio client goes on while a file, or whatever is behind an iterable, takes its time."""

    async def body() -> None:
        beaten = threading.Event()

        def pieces() -> Iterator[bytes]:
            yield b"first"
            assert beaten.wait(LONG_S)

        async def beat() -> None:
            await asyncio.sleep(0.05)
            beaten.set()

        client = AsyncClient(opened.path, start=False)
        await asyncio.gather(client.machines.put_files("x", "/", pieces()), beat())

    def take(connection: socket.socket, line: bytes) -> None:
        got = b""
        while not got.endswith(b"0\r\n\r\n"):
            got = connection.recv(65536)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with peer(tmp_path, take) as opened:
        asyncio.run(body())
