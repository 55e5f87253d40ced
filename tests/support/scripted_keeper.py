"""A keeper for tests of the relay: it speaks the keeper's protocol, makes sockets in a space of the test, and can die,
come again, and refuse."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from tests.support.network_spaces import LISTENING_PORT, Space

_BACKLOG = 1024
_KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)


class ScriptedKeeper:
    """Listens at `path` from `open` until `close`; its listening sockets are the same all the time."""

    def __init__(self, path: Path, space: Space) -> None:
        self.asked: list[str] = []
        self.refuses: str = ""  # the first word of requests that are refused
        self._path = path
        self._space = space
        self._turn = threading.Lock()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self._kept = [self._listening(kind, v6) for kind in _KINDS for v6 in (False, True)]

    def _listening(self, kind: socket.SocketKind, v6: bool) -> socket.socket:
        backlog = _BACKLOG if kind == socket.SOCK_STREAM else 0
        made = self._space.socket(
            kind, bind=("::" if v6 else "0.0.0.0", LISTENING_PORT), listen=backlog, transparent=True
        )
        made.setblocking(False)
        return made

    def open(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._start(self._accept, self._listener)

    def close(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in self._threads:
                thread.join()
            self._listener.close()
        self._listener = None
        self._connections.clear()
        self._threads.clear()

    def end(self) -> None:
        self.close()
        for kept in self._kept:
            kept.close()

    def _start(self, work: Callable[[socket.socket], None], given: socket.socket) -> None:
        thread = threading.Thread(target=work, args=(given,))
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self._connections.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while request := connection.recv(4096).decode():
                with self._turn:
                    self._answer(connection, request)

    def _answer(self, connection: socket.socket, request: str) -> None:
        self.asked.append(request)
        verb, *words = request.split()
        if verb == self.refuses:
            connection.send(b"error limit the test wants it so")
        elif verb == "listeners":
            socket.send_fds(connection, [b"ok"], [kept.fileno() for kept in self._kept])
        else:
            made = self._sockets(*words) if verb == "sockets" else [self._udp(*words)]
            try:
                socket.send_fds(connection, [b"ok"], [one.fileno() for one in made])
            finally:
                for one in made:
                    one.close()

    def _sockets(self, kind: str, count: str) -> list[socket.socket]:
        return [self._space.socket(v6=kind == "tcp6") for _ in range(int(count))]

    def _udp(self, address: str, port: str, to: str, to_port: str) -> socket.socket:
        return self._space.socket(
            socket.SOCK_DGRAM, bind=(address, int(port)), to=(to, int(to_port)), transparent=True
        )
