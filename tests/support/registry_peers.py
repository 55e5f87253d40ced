"""Servers that misbehave: one that a test answers for byte by byte, one that cuts connections to a real registry."""

from __future__ import annotations

import re
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

TLS_HANDSHAKE = 0x16  # the first byte of it
_REQUEST = re.compile(rb"[A-Z]+ [!-~]+ HTTP/1\.1\r\n")


@dataclass
class Asked:
    """A request that a peer got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answerer = Callable[[Asked, socket.socket], None]


@dataclass
class Peer:
    """A server of the test's own; `asked` are the requests so far."""

    host: str
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def open_peer(answer: Answerer) -> Iterator[Peer]:
    """Each connection gets one request answered in a thread of its own, and is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = Peer(f"127.0.0.1:{listener.getsockname()[1]}")
        with _accepting(listener, lambda connection: _serve(peer, connection, answer)):
            yield peer


@contextmanager
def open_tls_peer(certificate: Path, key: Path, answer: Answerer) -> Iterator[Peer]:
    """As `open_peer`, with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            _serve(peer, wrapped, answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = Peer(f"127.0.0.1:{listener.getsockname()[1]}")
        with _accepting(listener, serve):
            yield peer


@contextmanager
def open_cutter(host: str, cut_after: list[int]) -> Iterator[Peer]:
    """Stands between a client and the server at `host`. The nth request for a blob is cut off when `cut_after[n]` bytes
    have come back; later ones are left alone. `asked` has the heads of all requests."""
    target = (host.partition(":")[0], int(host.partition(":")[2]))

    def relay(connection: socket.socket) -> None:
        with socket.create_connection(target) as upstream:
            _relay(peer, connection, upstream, cut_after)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = Peer(f"127.0.0.1:{listener.getsockname()[1]}")
        with _accepting(listener, relay):
            yield peer


def reply(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer; `Some_Header="x"` becomes `Some-Header: x`."""
    fields = {"Content-Length": str(len(body)), "Connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in fields.items() if value)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@contextmanager
def _accepting(listener: socket.socket, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    stopped = threading.Event()
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def one(connection: socket.socket) -> None:
        with connection:
            try:
                serve(connection)
            except OSError:
                pass  # the client has had enough

    def accept() -> None:
        while not stopped.is_set():
            if select.select([listener], [], [], 0.02)[0]:
                connections.append(listener.accept()[0])
                threads.append(threading.Thread(target=one, args=(connections[-1],)))
                threads[-1].start()

    accepter = threading.Thread(target=accept)
    accepter.start()
    try:
        yield
    finally:
        stopped.set()
        accepter.join()
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in threads:
            thread.join()


def _serve(peer: Peer, connection: socket.socket, answer: Answerer) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk or chunk[0] == TLS_HANDSHAKE:
            return
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    asked = _parse(head)
    while len(body) < int(asked.headers.get("content-length", "0")):
        body += connection.recv(65536)
    asked.body = body
    peer.asked.append(asked)
    answer(asked, connection)


def _relay(peer: Peer, client: socket.socket, upstream: socket.socket, cut_after: list[int]) -> None:
    left: int | None = None
    while True:
        for ready in select.select([client, upstream], [], [])[0]:
            chunk = ready.recv(16384)
            if not chunk:
                return
            if ready is client:
                if chunk[0] == TLS_HANDSHAKE or _REQUEST.match(chunk):
                    left = _cut(peer, chunk, cut_after)
                upstream.sendall(chunk)
                continue
            client.sendall(chunk if left is None else chunk[:left])
            left = None if left is None else left - len(chunk)
            if left is not None and left <= 0:
                return


def _cut(peer: Peer, request: bytes, cut_after: list[int]) -> int | None:
    """After how many bytes of the answer."""
    if request[0] == TLS_HANDSHAKE:
        return None
    peer.asked.append(_parse(request))
    return cut_after.pop(0) if "/blobs/" in peer.asked[-1].path and cut_after else None


def _parse(head: bytes) -> Asked:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    fields = (line.partition(":") for line in lines)
    return Asked(method, path, {name.strip().lower(): value.strip() for name, _, value in fields}, b"")
