"""A verb that waits ends when its client leaves; one that does not is carried out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from banger.api import machines as verbs
from banger.api.table import VERBS
from banger.engine.surface import HANDLERS
from banger.errors import Error
from banger.server.app import create_app
from banger.server.protocol import BoundedProtocol
from tests.support.home import wait_until

LIMIT_S = 20


class Waiter:
    """What the daemon waits for, in the place of a verb. `ended` is how each wait did."""

    def __init__(self) -> None:
        self.begun, self.ended = 0, list[str]()
        self.go_on = threading.Event()
        self.error: Error | None = None

    async def wait(self, parts: Any, principal: Any, request: Any) -> dict[str, str]:
        self.begun += 1
        try:
            while not self.go_on.is_set():
                await asyncio.sleep(0.005)
            if self.error is not None:
                raise self.error
        except BaseException as exc:
            self.ended.append(type(exc).__name__)
            raise
        self.ended.append("done")
        return {"machine": request.machine}


@pytest.fixture
def waiter(monkeypatch: pytest.MonkeyPatch) -> Waiter:
    made = Waiter()
    for verb in (verbs.WAIT, verbs.PAUSE):
        monkeypatch.setitem(HANDLERS, verb.name, made.wait)
    return made


@pytest.fixture
def path(waiter: Waiter, tmp_path: Path) -> Iterator[Path]:
    parts: Any = None
    config = uvicorn.Config(
        create_app(parts), uds=str(tmp_path / "s"), http=BoundedProtocol, log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        wait_until(lambda: server.started, LIMIT_S, "it serves")
        yield tmp_path / "s"
    finally:
        waiter.go_on.set()
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def asking(path: Path, line: bytes) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LIMIT_S)
        connection.connect(str(path))
        connection.sendall(line + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        yield connection


def answer_of(connection: socket.socket) -> tuple[bytes, Any]:
    raw = b""
    while b"}" not in raw:
        raw += connection.recv(65536)
    head, _, body = raw.partition(b"\r\n\r\n")
    return head.split()[1], json.loads(body)


WAIT, PAUSE = b"GET /v1/machines/dev/wait", b"POST /v1/machines/dev/pause"


def test_a_wait_whose_client_leaves_ends(path: Path, waiter: Waiter) -> None:
    for number in range(1, 4):
        with asking(path, WAIT):
            wait_until(lambda: waiter.begun == number, LIMIT_S, "it waits")  # noqa: B023
        wait_until(lambda: len(waiter.ended) == number, LIMIT_S, "it has ended")  # noqa: B023
    assert waiter.ended == ["CancelledError"] * 3


def test_a_wait_is_answered_also_one_after_the_other_on_a_connection(path: Path, waiter: Waiter) -> None:
    waiter.go_on.set()
    with asking(path, WAIT) as connection:
        assert answer_of(connection) == (b"200", {"machine": "dev"})
        connection.sendall(WAIT + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer_of(connection) == (b"200", {"machine": "dev"})


def test_a_wait_that_fails_says_so(path: Path, waiter: Waiter) -> None:
    waiter.error = Error("agent_lost", "it is gone")
    waiter.go_on.set()
    with asking(path, WAIT) as connection:
        status, body = answer_of(connection)
    assert (status, body["error"]["code"]) == (b"502", "agent_lost")


def test_what_changes_something_is_carried_out_whether_or_not_its_client_stays(
    path: Path, waiter: Waiter
) -> None:
    with asking(path, PAUSE):
        wait_until(lambda: waiter.begun == 1, LIMIT_S, "it is carried out")
    waiter.go_on.set()
    wait_until(lambda: waiter.ended, LIMIT_S, "it has ended")
    assert waiter.ended == ["done"]


def test_what_waits_changes_nothing() -> None:
    assert {verb.name for verb in VERBS if verb.waits} == {
        "machines.wait",
        "machines.wait_exec",
        "machines.diff",
        "images.save",
    }
    assert all(verb.method == "GET" for verb in VERBS if verb.waits)
