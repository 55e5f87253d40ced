"""A run, an exec or an attach in progress, on asyncio: the counterpart of `websocket` and `stream`, which block."""

from __future__ import annotations

import os

from banger.client.aio_transport import AsyncAnswer, Connection, receive
from banger.client.frames import (
    BINARY,
    CLOSE,
    NORMAL,
    PING,
    PONG,
    TEXT,
    TOLD_LIMIT,
    BadFrame,
    FrameReader,
    Message,
    encode_close,
    encode_frame,
)
from banger.client.handshake import check_handshake, encode_handshake, make_key
from banger.client.http1 import AnswerReader, lost, refuse
from banger.client.messages import PIECE_LIMIT, Conversation, Event, check_request, encode_message
from banger.client.patience import Patience
from banger.client.stream import QUEUE_LIMIT, Collector


class AsyncStream:
    """Owns its connection. `close` before the end is what the API calls a broken connection."""

    def __init__(self, connection: Connection, rest: bytes) -> None:
        self._connection = connection
        self._writer = connection.writer
        self._frames = FrameReader(limit=TOLD_LIMIT)
        self._rest = rest
        self._conversation = Conversation()
        self._patience = Patience()
        self._stdin_open = True

    @property
    def started(self) -> bool:
        return self._conversation.started

    @property
    def finished(self) -> bool:
        return self._conversation.finished

    @property
    def stdin_room(self) -> int:
        """How many bytes `send_stdin` accepts now."""
        if not self._stdin_open or self._writer.transport.get_write_buffer_size() > QUEUE_LIMIT:
            return 0
        return min(self._conversation.room, PIECE_LIMIT)

    def send_stdin(self, data: bytes | memoryview) -> None:
        """Send at most `stdin_room` bytes."""
        self._send(BINARY, self._conversation.encode_stdin(data))

    def close_stdin(self) -> None:
        if self._stdin_open:
            self._stdin_open = False
            self._say("stdin_eof")

    def resize(self, rows: int, cols: int) -> None:
        self._say("resize", rows=rows, cols=cols)

    def signal(self, number: int) -> None:
        self._say("signal", signal=number)

    def detach(self) -> None:
        self._say("detach")

    async def wait_long(self) -> list[Event]:
        """Wait for events, for as long as the daemon lives. Raises `timeout`, and the Error that the daemon reports."""
        data, self._rest = self._rest or await receive(self._connection, self._patience), b""
        if not data:
            raise lost("before the command did")
        try:
            messages = self._frames.feed(data)
        except BadFrame as exc:
            self._send(CLOSE, encode_close(exc.close_code, exc.reason))
            raise refuse(exc.reason) from exc
        return [event for message in messages if (event := self._hear(message))]

    def close(self) -> None:
        """Close the connection, without waiting."""
        if not self._writer.is_closing():
            self._send(CLOSE, encode_close(NORMAL))
            self._writer.close()

    def say_first(self, request: bytes) -> None:
        """Send the first message."""
        self._send(TEXT, check_request(request))

    def _say(self, kind: str, **fields: object) -> None:
        self._send(TEXT, encode_message(kind, **fields))

    def _send(self, opcode: int, payload: bytes) -> None:
        self._writer.write(encode_frame(opcode, payload, os.urandom(4)))

    def _hear(self, message: Message) -> Event | None:
        opcode, payload = message
        if opcode == PING:
            self._send(PONG, payload)
        elif opcode == CLOSE and not self.finished:
            raise lost("before the command did")
        elif opcode in (TEXT, BINARY):
            return self._conversation.hear(opcode, payload)
        return None


async def collect(stream: AsyncStream, stdin: bytes) -> Collector:
    """Read `stream` to its end."""
    collector = Collector(stdin)
    try:
        while not stream.finished:
            while (room := stream.stdin_room) and not collector.all_fed:
                stream.send_stdin(collector.next_piece(room))
            if stream.started and collector.all_fed:
                stream.close_stdin()
            for event in await stream.wait_long():
                collector.hear(event)
    finally:
        stream.close()
    return collector


async def open_stream(connection: Connection, target: str, first: bytes) -> AsyncStream:
    """Open a WebSocket at `target`, and send the first message. Owns `connection` from now on."""
    writer = connection.writer
    try:
        key = make_key(os.urandom(16))
        parser, patience = AnswerReader(), Patience()
        writer.write(encode_handshake(target, key, connection.way))
        while parser.head is None:
            parser.feed(await receive(connection, patience))
        if parser.head.status != 101:
            await AsyncAnswer(connection, parser, patience).checked()
            raise refuse("it does not speak WebSocket")
        check_handshake(parser.head, key)
        stream = AsyncStream(connection, parser.rest)
        stream.say_first(first)
        return stream
    except BaseException:
        writer.close()
        raise
