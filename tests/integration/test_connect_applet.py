"""The agent's `connect`, as a program of this host under sanitizers: connections that begin in a guest."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

GUEST = Path(__file__).parents[2] / "guest"
LONG = os.urandom(3_000_000)
PATIENCE_S = 60


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def hear_all_and_return_it(connection: socket.socket) -> None:
    connection.sendall(read_all(connection))


def say_much_and_hear_nothing(connection: socket.socket) -> None:
    connection.sendall(LONG)


def echo(connection: socket.socket) -> None:
    while data := connection.recv(65536):
        connection.sendall(data)


Service = Callable[[socket.socket], None]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Service, bool], list[str]]]:
    """Starts a service for one client, at a Unix socket or a port; returns the arguments that lead to it."""
    listeners: list[socket.socket] = []

    def begin(service: Service, unix: bool) -> list[str]:
        if unix:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(tmp_path / "s"))
            listener.listen()
        else:
            listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def take() -> None:
            connection, _ = listener.accept()
            with connection:
                service(connection)

        threading.Thread(target=take, daemon=True).start()
        return ["unix", "s"] if unix else ["tcp", "localhost", str(listener.getsockname()[1])]

    yield begin
    for listener in listeners:
        listener.close()


def run(applets: Path, home: Path, words: list[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [applets, "connect", *words],
        input=stdin,
        env={"HOME": str(home)},
        capture_output=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize("unix", [True, False])
@pytest.mark.parametrize("stdin", [b"", b"hi", LONG], ids=["nothing", "little", "much"])
@pytest.mark.parametrize("service", [hear_all_and_return_it, echo])
def test_bytes_go_both_ways_and_each_way_ends(
    applets: Path,
    tmp_path: Path,
    serve: Callable[[Service, bool], list[str]],
    service: Service,
    stdin: bytes,
    unix: bool,
) -> None:
    done = run(applets, tmp_path, serve(service, unix), stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"\0" + stdin


def test_it_ends_with_the_service_although_stdin_goes_on(
    applets: Path, tmp_path: Path, serve: Callable[[Service, bool], list[str]]
) -> None:
    reader, writer = os.pipe()
    words = [str(applets), "connect", *serve(say_much_and_hear_nothing, True)]
    with subprocess.Popen(
        words, stdin=reader, stdout=subprocess.PIPE, env={"HOME": str(tmp_path)}
    ) as program:
        os.close(reader)
        assert program.stdout is not None and program.stdout.read() == b"\0" + LONG
        assert program.wait(timeout=PATIENCE_S) == 0
    os.close(writer)


@pytest.mark.parametrize(
    "words",
    [
        ["unix", "none"],
        ["unix", "x" * 200],
        ["unix"],
        ["tcp", "localhost", "1"],
        ["tcp", "localhost", "http"],
        ["tcp", "999.999.999.999", "80"],
        ["udp", "localhost", "80"],
        [],
    ],
)
def test_what_cannot_be_reached_says_nothing_on_stdout(
    applets: Path, tmp_path: Path, words: list[str]
) -> None:
    done = run(applets, tmp_path, words, b"hi")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr or len(words) < 2 or words[0] == "udp"
