"""Requests and answers in packets, with descriptors."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from banger.host.packets import PacketConnection, Refused, listen

Served = Callable[[socket.socket, bytes], None]


@contextlib.asynccontextmanager
async def connected(directory: Path, serve: Served) -> AsyncIterator[PacketConnection]:
    """A connection whose other side answers each packet with `serve`."""
    with (
        listen(directory / "p.sock") as listener,
        await PacketConnection.connect(directory / "p.sock") as connection,
    ):
        other, _ = listener.accept()

        def answer() -> None:
            if data := other.recv(1 << 20):
                serve(other, data)

        loop = asyncio.get_running_loop()
        loop.add_reader(other, answer)
        try:
            yield connection
        finally:
            loop.remove_reader(other)
            other.close()


def echo(other: socket.socket, data: bytes) -> None:
    other.sendall(b"ok " + data)


def refuse(other: socket.socket, data: bytes) -> None:
    other.sendall(b"error busy it is in use")


def test_an_answer_brings_text_and_descriptors(tmp_path: Path) -> None:
    async def scenario() -> None:
        def serve(other: socket.socket, data: bytes) -> None:
            with open(os.devnull) as file:
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))]
                other.sendmsg([b"ok " + data.upper()], rights)

        async with connected(tmp_path, serve) as connection:
            text, descriptors = await connection.ask("tap x")
            assert text == "TAP X" and len(descriptors) == 1
            assert not os.get_inheritable(descriptors[0])
            os.close(descriptors[0])


def test_requests_at_the_same_time_get_their_own_answers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with connected(tmp_path, echo) as connection:
            answers = await asyncio.gather(*(connection.ask(f"request {n}") for n in range(20)))
            assert [answer.text for answer in answers] == [f"request {n}" for n in range(20)]


def test_a_refusal_has_a_code_and_words(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with connected(tmp_path, refuse) as connection:
            with pytest.raises(Refused) as caught:
                await connection.ask("tap x")
            assert (caught.value.code, caught.value.message) == ("busy", "it is in use")

    asyncio.run(scenario())


@pytest.mark.parametrize("silent", [True, False])
def test_a_connection_that_failed_gives_no_late_answer(tmp_path: Path, silent: bool) -> None:
    async def scenario() -> None:
        def serve(other: socket.socket, data: bytes) -> None:
            if not silent:
                other.shutdown(socket.SHUT_RDWR)

        async with connected(tmp_path, serve) as connection:
            with pytest.raises((OSError, TimeoutError)):
                await connection.ask("tap x", timeout_s=0.05 if silent else 10)
            with pytest.raises(OSError):
                await connection.ask("tap y")

    asyncio.run(scenario())


def test_only_this_user_can_connect(tmp_path: Path) -> None:
    listen(tmp_path / "p.sock").close()
    assert (tmp_path / "p.sock").stat().st_mode & 0o777 == 0o600
