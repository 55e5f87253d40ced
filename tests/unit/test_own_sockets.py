"""Sockets of ours: reached however long their path is, and believed only if it is we who listen."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from banger.host import own_sockets


def test_a_path_longer_than_an_address_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 100) / "agent.sock"
    path.parent.mkdir()
    for _ in range(2):  # the second takes the place of the first
        with own_sockets.listen(path) as listener, asyncio.run(own_sockets.dial(path)) as connection:
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(b"hello")
                connection.setblocking(True)
                assert connection.recv(16) == b"hello"


@pytest.mark.parametrize("name", ["nothing", "nowhere/nothing", "file"])
def test_nobody_there_is_an_error_that_can_be_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        asyncio.run(own_sockets.dial(tmp_path / name))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: listens as another user")
def test_what_another_user_listens_on_is_not_believed(tmp_path: Path) -> None:
    program = """if 1:
        import os, socket, sys
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(sys.argv[1])
        os.setresuid(12345, 12345, 12345)
        listener.listen()
        print("listens", flush=True)
        sys.stdin.read()
    """
    path = tmp_path / "agent.sock"
    argv = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"listens\n"
        with pytest.raises(PermissionError, match="12345"):
            asyncio.run(own_sockets.dial(path))
        process.kill()


def test_a_pair_of_ours_is_ours() -> None:
    ours, other = socket.socketpair()
    with ours, other:
        own_sockets.check_peer(ours)


def test_a_link_in_the_place_of_a_socket_leads_nowhere(tmp_path: Path) -> None:
    path, link = tmp_path / "agent.sock", tmp_path / "link"
    link.symlink_to(path)
    with own_sockets.listen(path) as listener:
        asyncio.run(own_sockets.dial(link)).close()
        asyncio.run(own_sockets.dial(path, follow=False)).close()
        with pytest.raises(OSError):
            asyncio.run(own_sockets.dial(link, follow=False))
        listener.accept()[0].close()
        listener.accept()[0].close()
