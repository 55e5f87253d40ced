"""A daemon that ends between taking a connection and answering: what only reads is asked of the next one."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from banger.client.aio import AsyncClient
from banger.client.sync import Client
from banger.errors import Error

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
Ask = Callable[[str], object]


@contextmanager
def daemons(path: Path, answers: list[bytes]) -> Iterator[list[bytes]]:
    """Each connection's request is kept, and answered with the next of `answers`; none is an end without a word."""
    asked: list[bytes] = []

    def serve() -> None:
        for answer in answers:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # the test is over, and nobody has asked once more
            with connection:
                asked.append(connection.recv(4096))
                connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        if len(asked) == len(answers):
            thread.join(10)


def ask_sync(path: str) -> object:
    return Client(path).machines.list()


def ask_async(path: str) -> object:
    return asyncio.run(AsyncClient(path).machines.list())


def change_sync(path: str) -> object:
    return Client(path).machines.stop("dev")


def change_async(path: str) -> object:
    return asyncio.run(AsyncClient(path).machines.stop("dev"))


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
def test_what_only_reads_is_asked_once_more(ask: Ask, tmp_path: Path) -> None:
    with daemons(tmp_path / "s", [b"", ANSWER]) as asked:
        assert ask(str(tmp_path / "s")) == []
    assert len(asked) == 2 and asked[0] == asked[1]


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
def test_it_is_not_asked_for_ever(ask: Ask, tmp_path: Path) -> None:
    with daemons(tmp_path / "s", [b"", b""]), pytest.raises(Error, match="ended before an answer"):
        ask(str(tmp_path / "s"))


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
def test_an_answer_that_had_begun_is_not_asked_for_again(ask: Ask, tmp_path: Path) -> None:
    with daemons(tmp_path / "s", [ANSWER[:10], ANSWER]) as asked, pytest.raises(Error):
        ask(str(tmp_path / "s"))
    assert len(asked) == 1


@pytest.mark.parametrize("change", [change_sync, change_async])
def test_what_changes_something_is_sent_once(change: Ask, tmp_path: Path) -> None:
    """It may have been done, whoever was to say so."""
    with (
        daemons(tmp_path / "s", [b"", ANSWER]) as asked,
        pytest.raises(Error, match="ended before an answer"),
    ):
        change(str(tmp_path / "s"))
    assert len(asked) == 1
