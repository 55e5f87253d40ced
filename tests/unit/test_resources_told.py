"""Taps and passages: what programs of ours hold for machines is found and released through their sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from banger.errors import Error
from banger.host.packets import listen
from banger.resources.kinds import PASSAGE, TAP
from banger.store.resources import Identity
from tests.support.paths import paths_below


@contextlib.contextmanager
def program(path: Path, answer: Callable[[str], str]) -> Iterator[list[str]]:
    """A program that answers at `path`; what it was asked."""
    asked: list[str] = []
    path.parent.mkdir(parents=True, exist_ok=True)

    def serve(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(4096):
                asked.append(data.decode())
                connection.sendall(answer(data.decode()).encode())

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                serve(listener.accept()[0])

    with listen(path) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield asked
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def identity(path: Path, key: str = "tap-x") -> Identity:
    return {"socket": str(path), "key": key}


def test_a_tap_is_given_back_and_a_passage_forgotten(tmp_path: Path) -> None:
    with program(tmp_path / "keeper.sock", lambda _: "ok") as asked:
        asyncio.run(TAP.release(identity(tmp_path / "keeper.sock")))
        asyncio.run(PASSAGE.release(identity(tmp_path / "keeper.sock", "vm-x")))
    assert asked == ["free tap-x", "forget vm-x"]


@pytest.mark.parametrize("left", ["nothing", "a socket"])
def test_a_program_that_is_gone_holds_nothing(tmp_path: Path, left: str) -> None:
    if left == "a socket":
        listen(tmp_path / "keeper.sock").close()
    asyncio.run(TAP.release(identity(tmp_path / "keeper.sock")))


def test_what_the_program_does_not_know_is_released(tmp_path: Path) -> None:
    with program(tmp_path / "keeper.sock", lambda _: "error unknown no tap of tap-x"):
        asyncio.run(TAP.release(identity(tmp_path / "keeper.sock")))


@pytest.mark.parametrize("times", [1, 2])
def test_a_program_that_ends_amid_the_request_is_asked_again(tmp_path: Path, times: int) -> None:
    """Once: its successor answers. If that one ends, too, the record stays."""
    left = iter([True] * times)

    def answer(_: str) -> str:
        return "" if next(left, False) else "ok"  # an empty packet is what the end of a connection looks like

    with program(tmp_path / "keeper.sock", answer) as asked:
        if times == 1:
            asyncio.run(TAP.release(identity(tmp_path / "keeper.sock")))
        else:
            with pytest.raises(ConnectionError):
                asyncio.run(TAP.release(identity(tmp_path / "keeper.sock")))
    assert asked == ["free tap-x"] * 2


def test_what_the_program_refuses_to_give_back_stays_recorded(tmp_path: Path) -> None:
    with (
        program(tmp_path / "keeper.sock", lambda _: "error held its VMM runs"),
        pytest.raises(Error, match="its VMM runs") as caught,
    ):
        asyncio.run(TAP.release(identity(tmp_path / "keeper.sock")))
    assert caught.value.code == "not_released"


def test_all_pages_of_a_list_are_found(tmp_path: Path) -> None:
    paths = paths_below(tmp_path)
    lines = [f"vm{number} tap-{number} - - -" for number in range(5)]

    def answer(request: str) -> str:
        seen = int([*request.split(), "0"][1])
        return "\n".join(["ok", *lines[seen : seen + 2]])

    with program(paths.keeper_socket, answer):
        assert [found.key for found in TAP.find(paths)] == [f"tap-{number}" for number in range(5)]


def test_of_the_relays_list_only_machines_are_passages(tmp_path: Path) -> None:
    paths = paths_below(tmp_path)

    def answer(request: str) -> str:
        return (
            "ok\nmachine vm-x 10.213.0.16 fd62:616e:6765::10\nport p vm-x tcp 80"
            if request == "list"
            else "ok"
        )

    with program(paths.relay_socket, answer) as asked:
        (found,) = PASSAGE.find(paths)
        assert found.key == "vm-x" and asyncio.run(PASSAGE.remove(found.target))
    assert asked[-1] == "forget vm-x"


def test_without_the_programs_nothing_is_found(tmp_path: Path) -> None:
    assert [*TAP.find(paths_below(tmp_path)), *PASSAGE.find(paths_below(tmp_path))] == []
