"""A WebSocket to the daemon: frames on a connection. Nothing here waits, except where the docstring says so.

Messages are queued and sent when the socket accepts them, so that a peer that does not read cannot block a client that
has to read, too. Pings are answered in between.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections import deque

from banger.client.frames import (
    BINARY,
    CLOSE,
    NORMAL,
    PING,
    TEXT,
    TOLD_LIMIT,
    BadFrame,
    FrameReader,
    Message,
    encode_close,
    encode_frame,
    parse_close,
)
from banger.client.frames import PONG as _PONG
from banger.client.handshake import check_handshake, encode_handshake, make_key
from banger.client.http1 import AnswerReader, refuse
from banger.client.patience import Patience
from banger.client.transport import READ_SIZE, Answer, receive, require_life
from banger.client.way import way_of


class WebSocket:
    """Owns its connection. `closed` is True after the daemon sent a close frame or the connection ended."""

    def __init__(self, connection: socket.socket, rest: bytes = b"") -> None:
        connection.setblocking(False)
        self._connection = connection
        self._reader = FrameReader(limit=TOLD_LIMIT)
        self._outgoing: deque[memoryview] = deque()
        self._said_goodbye = False
        self.queued_bytes = 0
        self.closed = False
        self.headers: dict[str, str] = {}
        self._early = self._parse(rest) if rest else []

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self._connection.fileno()

    @property
    def has_early(self) -> bool:
        """Whether messages arrived together with the handshake: `receive` returns them at once."""
        return bool(self._early)

    def send(self, opcode: int, payload: bytes) -> None:
        """Queue one message, and send as much as the socket accepts at once."""
        self._queue(encode_frame(opcode, payload, os.urandom(4)))
        self.flush()

    def flush(self) -> None:
        """Send queued bytes, as many as the socket accepts now."""
        try:
            while self._outgoing:
                sent = self._connection.send(self._outgoing[0])
                self.queued_bytes -= sent
                self._drop(sent)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self._forget_outgoing()

    def receive(self) -> list[Message]:
        """The text and binary messages that have arrived. An empty list does not mean the end."""
        messages, self._early = self._early, []
        try:
            data = self._connection.recv(READ_SIZE)
        except BlockingIOError:
            return self._without_control(messages)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
        return self._without_control(messages + self._parse(data))

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until there is something to receive; queued bytes are sent meanwhile."""
        if self._early or self.closed:
            return True
        poll = select.poll()
        while True:
            poll.register(self._connection, select.POLLIN | (select.POLLOUT if self._outgoing else 0))
            events = poll.poll(None if timeout_s is None else timeout_s * 1000)
            if not events:
                return False
            if events[0][1] & select.POLLOUT:
                self.flush()
            if events[0][1] & ~select.POLLOUT:
                return True

    def require_life(self) -> None:
        """Check after a long silence that the daemon lives. Raises `timeout`."""
        require_life(way_of(self._connection) or self._connection.getpeername())

    def close(self, code: int = NORMAL) -> None:
        """Send a close frame and close the connection, without waiting. Bytes that the socket has accepted still
        arrive."""
        if not self.closed:
            with contextlib.suppress(OSError):
                self._goodbye(code)
        self.abandon()

    def abandon(self) -> None:
        """Close the connection without a close frame."""
        self.closed = True
        self._connection.close()

    def _parse(self, data: bytes) -> list[Message]:
        try:
            return self._reader.feed(data)
        except BadFrame as exc:
            self._goodbye(exc.close_code, exc.reason)
            self.abandon()
            raise refuse(exc.reason) from exc

    def _without_control(self, messages: list[Message]) -> list[Message]:
        """Handle control frames, and return the other messages."""
        plain = []
        for opcode, payload in messages:
            if opcode in (TEXT, BINARY):
                plain.append((opcode, payload))
            elif opcode == PING:
                self.send(_PONG, payload)
            elif opcode == CLOSE:
                self._answer_goodbye(payload)
                break
        return plain

    def _answer_goodbye(self, payload: bytes) -> None:
        self.closed = True
        try:
            code, _ = parse_close(payload)
        except BadFrame as exc:
            code = exc.close_code
        self._goodbye(NORMAL if code == 1005 else code)

    def _goodbye(self, code: int, reason: str = "") -> None:
        if not self._said_goodbye:
            self._said_goodbye = True
            self.send(CLOSE, encode_close(code, reason))

    def _queue(self, frame: bytes) -> None:
        self._outgoing.append(memoryview(frame))
        self.queued_bytes += len(frame)

    def _drop(self, sent: int) -> None:
        first = self._outgoing.popleft()
        if sent < len(first):
            self._outgoing.appendleft(first[sent:])

    def _forget_outgoing(self) -> None:
        """Drop queued bytes: the peer does not read any more. Its last messages may still be there to receive."""
        self._outgoing.clear()
        self.queued_bytes = 0


def open_websocket(connection: socket.socket, target: str) -> WebSocket:
    """Open a WebSocket at `target` and wait for the handshake. Owns `connection` from now on."""
    try:
        key = make_key(os.urandom(16))
        reader, patience = AnswerReader(), Patience()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(encode_handshake(target, key, way_of(connection)))
        while reader.head is None:
            reader.feed(receive(connection, patience))
        if reader.head.status != 101:
            Answer(connection, reader, patience).checked()
            raise refuse("it does not speak WebSocket")
        check_handshake(reader.head, key)
        websocket = WebSocket(connection, reader.rest)
        websocket.headers = reader.head.headers
        return websocket
    except BaseException:
        connection.close()
        raise
