"""A run, an exec or an attach in progress: the conversation of `messages` on a WebSocket.

Built for one poll loop: only `wait` waits, so that a caller can poll `fileno()` together with a terminal, a pipe and
signals.
"""

from __future__ import annotations

from banger.client.exchange import encode_json
from banger.client.frames import BINARY, TEXT
from banger.client.http1 import lost
from banger.client.messages import (
    PIECE_LIMIT,
    STDERR,
    STDOUT,
    Conversation,
    Event,
    Exited,
    Json,
    Output,
    check_request,
    encode_message,
)
from banger.client.patience import Patience
from banger.client.transport import Dial
from banger.client.websocket import WebSocket, open_websocket

QUEUE_LIMIT = 512 * 1024


class Stream:
    """Owns its WebSocket. Leaving the `with` block before the end is what the API calls a broken
    connection: an exec's command gets SIGHUP, a run with `remove` is removed."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._conversation = Conversation()
        self._stdin_open = True

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, without waiting."""
        self._websocket.close()

    def fileno(self) -> int:
        return self._websocket.fileno()

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the daemon's answer to the handshake."""
        return self._websocket.headers

    @property
    def wants_write(self) -> bool:
        """Whether to poll for POLLOUT, and to call `flush` then."""
        return self._websocket.queued_bytes > 0

    @property
    def has_early(self) -> bool:
        """Whether `receive` returns something even if the socket has no data."""
        return self._websocket.has_early

    @property
    def started(self) -> bool:
        return self._conversation.started

    @property
    def finished(self) -> bool:
        return self._conversation.finished

    @property
    def stdin_room(self) -> int:
        """How many bytes `send_stdin` accepts now."""
        if not self._stdin_open or self._websocket.queued_bytes > QUEUE_LIMIT:
            return 0
        return min(self._conversation.room, PIECE_LIMIT)

    def send_stdin(self, data: bytes | memoryview) -> None:
        """Send at most `stdin_room` bytes."""
        self._websocket.send(BINARY, self._conversation.encode_stdin(data))

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

    def flush(self) -> None:
        self._websocket.flush()

    def receive(self) -> list[Event]:
        """The events that have arrived. Raises the Error that the daemon reports."""
        hear = self._conversation.hear
        events = [event for opcode, payload in self._websocket.receive() if (event := hear(opcode, payload))]
        if self._websocket.closed and not self.finished:
            raise lost("before the command did")
        return events

    def wait(self, timeout_s: float | None = None) -> list[Event]:
        """Wait for events. None arrive after `timeout_s`, or after a message that is only a credit."""
        return self.receive() if self._websocket.wait(timeout_s) else []

    def wait_long(self) -> list[Event]:
        """Wait for events, for as long as the daemon lives. Raises `timeout`."""
        while not self._websocket.wait(Patience().wait_s()):
            self._websocket.require_life()
        return self.receive()

    def _say(self, kind: str, **fields: object) -> None:
        self._websocket.send(TEXT, encode_message(kind, **fields))


def open_stream(dial: Dial, target: str, request: Json) -> Stream:
    """Open the stream at `target`; `request` is its first message."""
    return begin_stream(dial, target, encode_json(request))


def begin_stream(dial: Dial, target: str, request: bytes) -> Stream:
    """As `open_stream`, for a request that is encoded already."""
    check_request(request)
    websocket = open_websocket(dial(), target)
    websocket.send(TEXT, request)
    return Stream(websocket)


class Collector:
    """Sends a whole stdin to a stream and keeps all output, for callers that only need the result."""

    def __init__(self, stdin: bytes) -> None:
        self._stdin = memoryview(stdin)
        self._at = 0
        self._output: dict[int, list[memoryview]] = {STDOUT: [], STDERR: []}
        self.exited: Exited | None = None

    @property
    def stdout(self) -> bytes:
        return b"".join(self._output[STDOUT])

    @property
    def stderr(self) -> bytes:
        return b"".join(self._output[STDERR])

    @property
    def all_fed(self) -> bool:
        return self._at == len(self._stdin)

    def next_piece(self, room: int) -> memoryview:
        """The next bytes of stdin, at most `room` of them."""
        piece = self._stdin[self._at : self._at + room]
        self._at += len(piece)
        return piece

    def hear(self, event: Event) -> None:
        if isinstance(event, Output):
            self._output[event.channel].append(event.data)
        elif isinstance(event, Exited):
            self.exited = event


def collect(stream: Stream, stdin: bytes) -> Collector:
    """Read `stream` to its end."""
    collector = Collector(stdin)
    with stream:
        while not stream.finished:
            _feed(stream, collector)
            for event in stream.wait_long():
                collector.hear(event)
    return collector


def _feed(stream: Stream, collector: Collector) -> None:
    while (room := stream.stdin_room) and not collector.all_fed:
        stream.send_stdin(collector.next_piece(room))
    if stream.started and collector.all_fed:
        stream.close_stdin()
