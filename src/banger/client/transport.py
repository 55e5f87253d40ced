"""Requests over the daemon's Unix socket, blocking, with the module `socket`.

Each call has a connection of its own: connecting is cheap, keeping connections would need more code, and a call can be
abandoned by closing its connection. Importing `http.client` would take 30 ms.
"""

from __future__ import annotations

import errno
import json
import select
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from banger.client.http1 import AnswerReader, encode_chunk, refuse
from banger.client.patience import Patience, patience_for_life, silent
from banger.client.request_id import request_header
from banger.client.way import CONNECT_TIMEOUT_S, Way, encode_head, way_of
from banger.errors import Error, TimedOut

Dial = Callable[[], socket.socket]
Body = bytes | Iterable[bytes] | None

READ_SIZE = 256 * 1024
ANSWER_LIMIT = 64 * 1024 * 1024
LINE_LIMIT = 1024 * 1024
VERSION_HEADER = "banger-version"
_LIFE_TARGET = "/v1/session"


def dial(path: str) -> socket.socket:
    """Connect to the socket at `path`. Raises `daemon_unreachable`; its details contain the `errno`."""
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
    """Set the time-outs in the kernel: with a time-out of Python's, a queue that is full for a moment would be an error
    at once."""
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


class Answer:
    """An answer whose head has arrived. Owns its connection; `read`, or the end of `chunks`, closes it."""

    def __init__(self, connection: socket.socket, reader: AnswerReader, patience: Patience) -> None:
        if reader.head is None:
            raise ValueError("an answer needs its head")
        self.status = reader.head.status
        self.headers = reader.head.headers
        self._connection = connection
        self._reader = reader
        self.patience = patience

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def chunks(self) -> Iterator[bytes]:
        """The body, in pieces as they arrive."""
        with self:
            while True:
                piece = self._reader.take()
                if piece:
                    yield piece
                if self._reader.done:
                    return
                self._reader.feed(receive(self._connection, self.patience))

    def read(self, limit: int = ANSWER_LIMIT) -> bytes:
        """The whole body, of at most `limit` bytes."""
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
        """The lines of the body, as they arrive (NDJSON)."""
        return split_lines(self.chunks())

    def checked(self) -> Answer:
        """The answer itself. Raises the error that it contains."""
        if is_foreign(self.status):
            self.close()
            raise refuse("it leads elsewhere")
        if self.status >= 400:
            raise error_of(self.status, self.read(LINE_LIMIT))
        return self


def is_foreign(status: int) -> bool:
    """Whether an answer leads elsewhere: no daemon sends such an answer, and the client does not follow it."""
    return 300 <= status < 400


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their ends. Empty lines are left out; a line without end is refused."""
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
    patience: Patience | None = None,
) -> Answer:
    """Send one request and wait for the head of its answer. Owns `connection` from now on. Raises `timeout` after the
    limits of `patience` (or the time-out of the connection), also while the body is read.

    Bytes are sent with a Content-Length, an iterable in chunks; a `key` as Idempotency-Key.
    """
    patience = patience or Patience(silence_s=connection.gettimeout())
    try:
        reader = AnswerReader()
        head = prepare_head(method, target, body, content_type, key, way_of(connection))
        _send(connection, head, body, patience)
        while reader.head is None:
            reader.feed(receive(connection, patience))
        return Answer(connection, reader, patience)
    except BaseException:
        connection.close()
        raise


def prepare_head(
    method: str, target: str, body: Body, content_type: str, key: str = "", way: Way | None = None
) -> bytes:
    """The head of a request on a connection that ends with the answer."""
    headers = {"Connection": "close", "Accept": "*/*", **request_header()}
    if isinstance(body, bytes):
        headers |= {"Content-Type": content_type, "Content-Length": str(len(body))}
    elif body is not None:
        headers |= {"Content-Type": content_type, "Transfer-Encoding": "chunked"}
    elif method != "GET":
        headers["Content-Length"] = "0"
    if key:
        headers["Idempotency-Key"] = _header_text(key)
    return encode_head(method, target, headers, way)


def _header_text(value: str) -> str:
    """A value for a header. The daemon decides which keys are valid; this only refuses what a head cannot contain.
    Raises `bad_request`."""
    if not (value.isascii() and value.isprintable()):
        raise Error("bad_request", "an idempotency key has 1 to 128 visible ASCII characters", "use a UUID")
    return value


def _send(connection: socket.socket, head: bytes, body: Body, patience: Patience) -> None:
    """Send the body, until its end or until an answer arrives."""
    if body is None or isinstance(body, bytes):
        pieces: Iterable[bytes] = [head + (body or b"")]
    else:
        pieces = chain([head], map(encode_chunk, filter(None, body)), [encode_chunk(b"")])
    try:
        for piece in pieces:
            if not _send_piece(connection, piece, patience):
                return
    except (BrokenPipeError, ConnectionResetError):
        return


def _send_piece(connection: socket.socket, data: bytes, patience: Patience) -> bool:
    """Send a piece. Returns False if an answer arrives before its end."""
    poll = select.poll()
    poll.register(connection, select.POLLIN | select.POLLOUT)
    rest = memoryview(data)
    while rest:
        events = poll.poll(patience.wait_s() * 1000)
        if not events:
            go_on(connection, patience)
        elif events[0][1] & ~select.POLLOUT:
            return False
        else:
            rest = rest[connection.send(rest, socket.MSG_DONTWAIT) :]
    return True


def receive(connection: socket.socket, patience: Patience) -> bytes:
    """Bytes of the connection; none at its end. Raises `timeout`."""
    while True:
        connection.settimeout(patience.wait_s())
        try:
            return connection.recv(READ_SIZE)
        except ConnectionResetError:
            return b""
        except TimeoutError:
            go_on(connection, patience)


def go_on(connection: socket.socket, patience: Patience) -> None:
    """Call this after a wait without bytes. Raises `timeout`."""
    patience.check()
    require_life(way_of(connection) or connection.getpeername())


def require_life(place: object) -> None:
    """Check that the daemon at the other end, a way or the path of its socket, answers other calls. Raises `timeout`.
    If no daemon listens there any more, that means nothing: a daemon that lost its socket still serves its
    connections."""
    if not (isinstance(place, str | Way) and place):
        return
    try:
        connection = dial(place) if isinstance(place, str) else place.dial()
        request(connection, "GET", _LIFE_TARGET, patience=patience_for_life()).close()
    except TimedOut:
        raise
    except Error:
        return
