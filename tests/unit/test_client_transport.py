"""Requests on a Unix socket: bodies both ways, early answers, errors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from banger.client import call, calls, transport
from banger.client.aio import AsyncClient
from banger.client.patience import Patience
from banger.client.sync import Client
from banger.client.transport import dial, error_of, request, split_lines
from banger.errors import Error
from tests.unit.test_client_stand_in import StandIn, running


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandIn]:
    with running(tmp_path) as running_one:
        yield running_one


@contextmanager
def scripted(answer: bytes) -> Iterator[socket.socket]:
    """A connection whose other end reads a little, answers with these bytes, and closes."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs:
            theirs.recv(1024)
            theirs.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield ours
    finally:
        thread.join(10)


def test_no_daemon_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(Error, match="no daemon answers on") as caught:
        dial(str(tmp_path / "none.sock"))
    assert caught.value.code == "daemon_unreachable" and caught.value.hint


def test_a_socket_that_nobody_listens_on_is_no_daemon(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    with pytest.raises(Error, match="no daemon answers on"):
        dial(str(tmp_path / "dead.sock"))


def test_a_body_is_streamed_to_the_daemon(stand_in: StandIn) -> None:
    async def measure(asked: Request) -> Response:
        return JSONResponse(sum([len(piece) async for piece in asked.stream()]))

    stand_in.answers["PUT", "/measure"] = measure
    pieces = iter([b"", *[os.urandom(5000)] * 2000])
    answer = request(dial(str(stand_in.path)), "PUT", "/measure", pieces, "application/x-tar")
    assert answer.read() == b"10000000"


def test_an_answer_is_streamed_as_it_comes(stand_in: StandIn) -> None:
    async def count(asked: Request) -> Response:
        async def numbers() -> AsyncIterator[bytes]:
            for number in range(1000):
                yield b"%d\n" % number

        return StreamingResponse(numbers())

    stand_in.answers["GET", "/count"] = count
    lines = request(dial(str(stand_in.path)), "GET", "/count").lines()
    assert [int(line) for line in lines] == list(range(1000))


def test_a_refusal_in_the_middle_of_an_upload_is_heard(stand_in: StandIn) -> None:
    async def refuse(asked: Request) -> Response:
        await anext(asked.stream())
        error = {"code": "file_not_found", "message": "no such directory"}
        return JSONResponse({"error": error}, 404)

    stand_in.answers["PUT", "/refuse"] = refuse

    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(65536)

    with pytest.raises(Error, match="no such directory"):
        request(dial(str(stand_in.path)), "PUT", "/refuse", endless(), "application/x-tar").checked()


def test_an_error_of_the_body_itself_is_raised(stand_in: StandIn) -> None:
    def broken() -> Iterator[bytes]:
        yield b"a"
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        request(dial(str(stand_in.path)), "PUT", "/x", broken())


def test_an_answer_without_end_is_cut_off() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + bytes(5000)
    with scripted(answer) as connection, pytest.raises(Error, match="more than 100 bytes"):
        request(connection, "GET", "/").read(limit=100)


def test_a_connection_that_breaks_is_an_error_that_says_so() -> None:
    with scripted(b"") as connection, pytest.raises(Error, match="ended before an answer"):
        request(connection, "GET", "/")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"error": {"code": "in_use", "message": "x"}}', "in_use"),
        (b'{"error": {"code": "from_the_future", "message": "x"}}', "internal"),
        (b'{"error": 3}', "internal"),
        (b"[1]", "internal"),
        (b"Internal Server Error", "internal"),
        (b"[" * 100000, "internal"),
        (b"\xff\xfe", "internal"),
    ],
)
def test_error_bodies_become_errors(body: bytes, code: str) -> None:
    assert error_of(500, body).code == code


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [([b"a\nb", b"c\n", b"\n", b"d"], [b"a", b"bc", b"d"]), ([], []), ([b"\n\n"], [])],
)
def test_lines_are_whole_however_they_come(chunks: list[bytes], lines: list[bytes]) -> None:
    assert list(split_lines(chunks)) == lines


def test_an_endless_line_is_refused() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(65536)

    with pytest.raises(Error, match="endless line"):
        list(split_lines(endless()))


@contextmanager
def full_queue(tmp_path: Path) -> Iterator[str]:
    """A daemon that accepts nobody: one is in its queue, and there is room for no more."""
    path = str(tmp_path / "full.sock")
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen(0)
        stack.enter_context(socket.socket(socket.AF_UNIX)).connect(path)
        yield path


def test_a_daemon_that_accepts_nobody_is_waited_for_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT_S", 1)
    with full_queue(tmp_path) as path, pytest.raises(Error, match="silent for 1 s") as caught:
        dial(path)
    assert caught.value.code == "timeout"


def test_a_call_that_only_reads_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for a head nor for the rest of a body; with both clients. One that works may take its time."""
    monkeypatch.setattr(call, "READ_TIMEOUT_S", 0.1)
    assert calls.machines_wait("x").silence_s is calls.machines_logs("x").silence_s is None
    assert calls.machines_start("x").silence_s is calls.images_delete("x").silence_s is None
    path = str(tmp_path / "mute.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with pytest.raises(Error) as caught:
            Client(path, start=False).machines.list()
        assert caught.value.code == "timeout"
        with pytest.raises(Error) as caught:
            asyncio.run(AsyncClient(path, start=False).machines.list())
        assert caught.value.code == "timeout"
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal")
        with pytest.raises(Error) as caught:
            request(ours, "GET", "/", patience=Patience(silence_s=0.1)).read()
    assert caught.value.code == "timeout"
