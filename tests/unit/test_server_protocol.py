"""What the daemon takes of HTTP before anybody has looked at it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from banger.server import protocol
from banger.server.protocol import HEAD_LIMIT_BYTES, BoundedProtocol


async def size_of_body(request: Request) -> Response:
    return Response(str(len(await request.body())))


async def later(request: Request) -> Response:
    await asyncio.sleep(0.2)
    return Response("later")


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    with serving(str(tmp_path / "s")) as found:
        yield found


@contextmanager
def serving(path: str) -> Iterator[str]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    routes = [Route("/size", size_of_body, methods=["GET", "POST"]), Route("/later", later)]
    app = Starlette(routes=routes)
    config = uvicorn.Config(app, http=BoundedProtocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        yield path
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    try:
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def answer_of(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body, of a connection that ends with its answer."""
    raw = bytearray()
    while piece := connection.recv(65536):
        raw += piece
    head, _, body = bytes(raw).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def send(path: str, *pieces: bytes) -> tuple[int, bytes]:
    with connect(path) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was refused before all was sent
        return answer_of(connection)


def code_of(answer: tuple[int, bytes]) -> tuple[int, str]:
    return answer[0], json.loads(answer[1])["error"]["code"]


HUGE = 40 * HEAD_LIMIT_BYTES


@pytest.mark.parametrize(
    "pieces",
    [
        [b"GET /" + b"a" * HUGE],
        [b"GET /size HTTP/1.1\r\nX: " + b"a" * HUGE],
        [b"GET /size HTTP/1.1\r\n" + b"X: a\r\n" * (HUGE // 6)],
        [b"GET /size HTTP/1.1\r\n", b"X: a\r\n" * (HEAD_LIMIT_BYTES // 5) + b"\r\n"],
        [b"GET /size HTTP/1.1\r\nX: " + b"a" * HEAD_LIMIT_BYTES + b"\r\n\r\n"],
        [b"POST /size HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: " + b"a" * HUGE],
    ],
    ids=["a path", "a header", "headers", "headers that end", "a header that ends", "a trailer"],
)
def test_a_head_is_bounded(path: str, pieces: list[bytes]) -> None:
    answer = send(path, *pieces)
    assert code_of(answer) == (431, "head_too_large")


@pytest.mark.parametrize("split", [1, 7, 30_000, 1 << 20])
def test_a_long_body_and_an_ordinary_head_are_taken_however_they_come(path: str, split: int) -> None:
    length = 200 if split < 10 else 5 * HEAD_LIMIT_BYTES
    whole = (
        b"POST /size HTTP/1.1\r\nConnection: close\r\nX: %b\r\nContent-Length: %d\r\n\r\n"
        % (
            b"a" * min(length, HEAD_LIMIT_BYTES - 200),
            length,
        )
        + b"b" * length
    )
    pieces = [whole[at : at + split] for at in range(0, len(whole), split)]
    assert send(path, *pieces) == (200, str(length).encode())


def test_what_is_no_http_is_told_so_in_the_form_of_the_api(path: str) -> None:
    assert code_of(send(path, b"\x16\x03\x01 nonsense\r\n\r\n")) == (400, "bad_request")


@pytest.mark.parametrize("waiting", [0, 1])
def test_a_refusal_is_the_last_that_a_connection_says(
    path: str, waiting: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if a request before it is not answered yet. While others wait for that one, nothing more is read."""
    request = b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(path) as connection:
        connection.sendall(request * (1 + waiting))
        time.sleep(0.05)  # the first is at work
        connection.sendall(b"nonsense\r\n\r\n")
        said = b""
        while piece := connection.recv(65536):
            said += piece
        time.sleep(0.4)  # the rest of the answers would come now
    nothing, *answers = said.split(b"HTTP/1.1 ")
    assert nothing == b"" and [answer[:3] for answer in answers] == [b"200"] * waiting + [b"400"]
    assert json.loads(answers[-1].partition(b"\r\n\r\n")[2])["error"]["code"] == "bad_request"
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_head_has_to_come_in_time(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.05)
    assert code_of(send(path, b"GET /size HTTP/1.1\r\n")) == (408, "head_timeout")
    with connect(path) as silent:
        assert silent.recv(1) == b""


def test_connections_are_counted(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "connections_max", lambda: 3)
    with contextlib.ExitStack() as held:
        for _ in range(3):
            held.enter_context(connect(path))
        refused = held.enter_context(connect(path))
        assert code_of(answer_of(refused)) == (503, "too_many_connections")
