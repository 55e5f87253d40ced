"""Requests over the daemon's Unix socket, blocking, with the raw `socket` module.

A call has a connection of its own: connecting costs less than keeping connections would in code, and a
call can be abandoned by closing it. `http.client` would cost 30 ms to import.
"""

from __future__ import annotations

import errno
import json
import select
import socket
import sys
from collections.abc import Callable, Iterable, Iterator

from banger.client.http1 import AnswerReader, encode_chunk, encode_request, refuse
from banger.errors import Error

Dial = Callable[[], socket.socket]
Body = bytes | Iterable[bytes] | None

READ_SIZE = 256 * 1024
ANSWER_LIMIT = 64 * 1024 * 1024
LINE_LIMIT = 1024 * 1024
CONNECT_TIMEOUT_S = 30
VERSION_HEADER = "banger-version"


def dial(path: str) -> socket.socket:
    """Connect to the socket at `path`. Raises `daemon_unreachable`; its details carry the `errno`."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _limit_waiting(connection, CONNECT_TIMEOUT_S)
        connection.connect(path)
        _limit_waiting(connection, 0)
    except BlockingIOError as exc:
        connection.close()
        raise silent(CONNECT_TIMEOUT_S) from exc
    except OSError as exc:
        connection.close()
        raise _unreachable(path, exc) from exc
    return connection


def _limit_waiting(connection: socket.socket, seconds: int) -> None:
    """Of the kernel: with a time-out of Python's own, a queue that is full for a moment would be an error at once."""
    interval = seconds.to_bytes(8, sys.byteorder) + bytes(8)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)


def _unreachable(path: str, exc: OSError) -> Error:
    absent = exc.errno in (errno.ENOENT, errno.ECONNREFUSED)
    return Error(
        "daemon_unreachable",
        f"no daemon answers on {path}" if absent else f"cannot connect to {path}: {exc.strerror or exc}",
        "start one with `banger system start`" if absent else "",
        {"errno": exc.errno or 0},
    )


def silent(waited_s: float) -> Error:
    """The error for a daemon that is there and says nothing."""
    return Error(
        "timeout",
        f"the daemon was silent for {waited_s:g} s",
        "its log may say why; `banger system restart` starts it anew, machines go on",
    )


class Answer:
    """An answer whose head has come. Owns its connection; `read`, or the end of `chunks`, closes it."""

    def __init__(self, connection: socket.socket, reader: AnswerReader) -> None:
        if reader.head is None:
            raise ValueError("an answer needs its head")
        self.status = reader.head.status
        self.headers = reader.head.headers
        self._connection = connection
        self._reader = reader

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def chunks(self) -> Iterator[bytes]:
        """The body, as it comes."""
        with self:
            while True:
                piece = self._reader.take()
                if piece:
                    yield piece
                if self._reader.done:
                    return
                self._reader.feed(receive(self._connection))

    def read(self, limit: int = ANSWER_LIMIT) -> bytes:
        """The whole body."""
        pieces: list[bytes] = []
        size = 0
        for piece in self.chunks():
            size += len(piece)
            if size > limit:
                self.close()
                raise refuse(f"an answer of more than {limit} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def lines(self) -> Iterator[bytes]:
        """The body's lines, as they come (NDJSON)."""
        return split_lines(self.chunks())

    def checked(self) -> Answer:
        """Itself, or the error that it carries."""
        if self.status >= 400:
            raise error_of(self.status, self.read(LINE_LIMIT))
        return self


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their ends; empty lines are left out, endless ones refused."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line)
        if len(rest) > LINE_LIMIT:
            raise refuse("an endless line")
    if rest:
        yield rest


def error_of(status: int, body: bytes) -> Error:
    """The error in the body of an answer of status 400 or more."""
    try:
        error = json.loads(body)["error"]
        if isinstance(error, dict):
            return Error.from_dict(error)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return Error("internal", f"the daemon answered with status {status} and no reason")


def request(
    connection: socket.socket,
    method: str,
    target: str,
    body: Body = None,
    content_type: str = "application/json",
    key: str = "",
    silence_s: float | None = None,
) -> Answer:
    """Send one request and wait for the head of its answer. Owns `connection` from here on. Raises `timeout` when
    nothing comes for `silence_s` (or as long as the connection itself has been told to wait), also while the body is
    read.

    Bytes go with a Content-Length, an iterable in chunks, as it yields them; a `key` as Idempotency-Key.
    """
    if connection.gettimeout() is None:
        connection.settimeout(silence_s)
    try:
        reader = AnswerReader()
        _send(connection, plan_head(method, target, body, content_type, key), body, reader)
        while reader.head is None:
            reader.feed(receive(connection))
        return Answer(connection, reader)
    except BaseException:
        connection.close()
        raise


def plan_head(method: str, target: str, body: Body, content_type: str, key: str = "") -> bytes:
    """The head of a request whose connection ends with its answer."""
    headers = {"Connection": "close", "Accept": "*/*"}
    if isinstance(body, bytes):
        headers |= {"Content-Type": content_type, "Content-Length": str(len(body))}
    elif body is not None:
        headers |= {"Content-Type": content_type, "Transfer-Encoding": "chunked"}
    elif method != "GET":
        headers["Content-Length"] = "0"
    if key:
        headers["Idempotency-Key"] = _header_text(key)
    return encode_request(method, target, headers)


def _header_text(value: str) -> str:
    """The daemon says what a key may be; a head holds no more than this. Raises `bad_request`."""
    if not (value.isascii() and value.isprintable()):
        raise Error("bad_request", "an idempotency key has 1 to 128 visible ASCII characters", "use a UUID")
    return value


def _send(connection: socket.socket, head: bytes, body: Body, reader: AnswerReader) -> None:
    """Send it all, or as much as the daemon wants: an early answer ends the sending."""
    try:
        if body is None or isinstance(body, bytes):
            connection.sendall(head + (body or b""))
            return
        connection.sendall(head)
        for piece in body:
            if piece and not _send_piece(connection, encode_chunk(piece)):
                return
        connection.sendall(encode_chunk(b""))
    except (BrokenPipeError, ConnectionResetError):
        return


def _send_piece(connection: socket.socket, data: bytes) -> bool:
    """Send, unless an answer is there before all is sent: then False."""
    poll = select.poll()
    poll.register(connection, select.POLLIN | select.POLLOUT)
    rest = memoryview(data)
    while rest:
        events = poll.poll()
        if events and events[0][1] & ~select.POLLOUT:
            return False
        rest = rest[connection.send(rest, socket.MSG_DONTWAIT) :]
    return True


def receive(connection: socket.socket) -> bytes:
    """Bytes of the connection, none at its end."""
    try:
        return connection.recv(READ_SIZE)
    except ConnectionResetError:
        return b""
    except TimeoutError as exc:
        raise silent(connection.gettimeout() or 0) from exc
