"""Peers in the place of a guest's agent or of a VMM's control socket: silent ones, liars, floods."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from banger.wire.constants import VERSION, Tag, Type
from banger.wire.fields import Fields, Value, encode_fields
from banger.wire.frames import FrameReader, encode_frame

Behaviour = Callable[[socket.socket], None]


def welcome(nonce: bytes, version: int = VERSION) -> bytes:
    """What an agent answers to HELLO."""
    fields: list[tuple[int, Value]] = [
        (Tag.NONCE, nonce),
        (Tag.VERSION, version),
        (Tag.AGENT, "stranger"),
        (Tag.BOOT, bytes(16)),
        (Tag.STATE, "running"),
        (Tag.KERNEL, "6.1"),
        (Tag.UPTIME_MS, 1),
    ]
    return encode_frame(Type.WELCOME, 0, encode_fields(fields))


def stay_silent(connection: socket.socket) -> None:
    """Accept, and never say a word."""
    while connection.recv(65536):
        pass


def greet(connection: socket.socket) -> None:
    """Answer HELLO; the same as an agent would, so far."""
    reader = FrameReader()
    while data := connection.recv(65536):
        for frame in reader.feed(data):
            if frame.type == Type.HELLO:
                connection.sendall(welcome(Fields(frame.payload).bytes_(Tag.NONCE)))
                return


def only_greet(connection: socket.socket) -> None:
    greet(connection)
    stay_silent(connection)


def flood_with(data: bytes) -> Behaviour:
    """After the greeting the same bytes, as fast as they are taken, and nothing is read."""

    def flood(connection: socket.socket) -> None:
        greet(connection)
        while True:
            connection.sendall(data)

    return flood


EVENTS = encode_frame(Type.EVENT, 0, encode_fields([(Tag.CODE, "oom\n\x1b[2J"), (Tag.MESSAGE, "x" * 200)]))
TINY_FRAMES = encode_frame(Type.OK, 2) * 16384
GARBAGE = b"\x6e\xba" * 131072


@contextlib.contextmanager
def impostor(path: Path, behaviour: Behaviour) -> Iterator[None]:
    """A listener of our own at `path`, whatever was there before."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    _bind(listener, path)
    listener.listen(8)
    connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            behaviour(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        for each in (listener, *connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def _bind(listener: socket.socket, path: Path) -> None:
    """By a short way: a socket's whole path may have 107 characters."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{directory}/{path.name}")
    finally:
        os.close(directory)
