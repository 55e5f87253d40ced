"""Connections of this host that lead to a port of a machine, each through a stream of its own, in one poll loop.

No threads. What one side does not take is not read from the other, so nothing piles up here.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import struct
from collections.abc import Callable, Iterator

from banger.cli.pipes import READ_SIZE, Sink, Source
from banger.cli.signals import Signals
from banger.client.messages import STDOUT, Event, Exited, Output, OutputEnded
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.stream import Stream

LEGS_MAX = 128
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_RESET = struct.pack("ii", 1, 0)


class StandardFiles:
    """Our stdin and stdout as a client. The end of the output is the end of all: a caller such as ssh waits for it."""

    goes_on = False

    def __init__(self) -> None:
        self._source, self._sink = Source(0), Sink(1)

    @property
    def reader(self) -> int:
        return self._source.fileno()

    @property
    def writer(self) -> int:
        return self._sink.fileno()

    @property
    def pending(self) -> bool:
        return self._sink.pending

    def read(self, limit: int) -> bytes | None:
        """None: nothing now; empty at the end."""
        return self._source.read(limit) or (b"" if self._source.ended else None)

    def write(self, data: memoryview) -> None:
        self._sink.write(data) if len(data) else self._sink.flush()

    def end_output(self) -> None:
        """The end of this process says it."""

    def close(self, *, reset: bool) -> None:
        self._sink.__exit__()


class Client:
    """A connection to our listener."""

    goes_on = True

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._pending = memoryview(b"")
        self.reader = self.writer = connection.fileno()

    @property
    def pending(self) -> bool:
        return len(self._pending) > 0

    def read(self, limit: int) -> bytes | None:
        """None: nothing now; empty at the end. Raises OSError."""
        try:
            return self._connection.recv(min(limit, READ_SIZE))
        except BlockingIOError:
            return None

    def write(self, data: memoryview) -> None:
        """Write as much as possible without blocking, and keep the rest. Raises OSError."""
        self._pending = memoryview(bytes(self._pending) + data) if len(self._pending) else data
        with contextlib.suppress(BlockingIOError):
            while len(self._pending):
                self._pending = self._pending[self._connection.send(self._pending) :]

    def end_output(self) -> None:
        self._connection.shutdown(socket.SHUT_WR)

    def close(self, *, reset: bool) -> None:
        if reset:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._connection.close()


class Leg:
    """A client and its stream."""

    def __init__(self, stream: Stream, client: Client | StandardFiles) -> None:
        self._stream = stream
        self._client = client
        self._hears = True  # the client may still send
        self._ends: list[Event] = []  # what follows the bytes that the client has not taken yet
        self.over = False

    def interests(self) -> Iterator[tuple[int, int]]:
        """Descriptors to poll, and for what."""
        wanted = select.POLLOUT if self._stream.wants_write else 0
        if not self._client.pending:
            wanted |= select.POLLIN
        if wanted:
            yield self._stream.fileno(), wanted
        reading = select.POLLIN if self._hears and self._stream.stdin_room > 0 else 0
        writing = select.POLLOUT if self._client.pending else 0
        if self._client.reader == self._client.writer:
            if reading | writing:
                yield self._client.reader, reading | writing
        else:
            if reading:
                yield self._client.reader, reading
            if writing:
                yield self._client.writer, writing

    @property
    def has_early(self) -> bool:
        return self._stream.has_early and not self._client.pending

    def go_on(self, ready: dict[int, int]) -> None:
        """Do what is possible without waiting. Raises what the daemon reports, and OSError if the client broke off."""
        of_stream, of_writer = ready.get(self._stream.fileno(), 0), ready.get(self._client.writer, 0)
        if of_stream & select.POLLOUT:
            self._stream.flush()
        if self._client.pending and of_writer:
            self._client.write(memoryview(b""))
        if not self._client.pending and (self._stream.has_early or of_stream & ~select.POLLOUT):
            for event in self._stream.receive():
                self._hear(event)
        if self._hears and not self.over and ready.get(self._client.reader, 0) and self._stream.stdin_room:
            self._read()
        self._settle()

    def _hear(self, event: Event) -> None:
        if isinstance(event, Output) and event.channel == STDOUT:
            self._client.write(event.data)
        elif isinstance(event, Exited | OutputEnded):
            self._ends.append(event)

    def _settle(self) -> None:
        while self._ends and not self._client.pending:
            event = self._ends.pop(0)
            if isinstance(event, Exited) and event.code:
                raise ConnectionResetError("the service broke off")
            if isinstance(event, Exited) or not self._client.goes_on:
                self.close(reset=False)
                return
            self._client.end_output()

    def _read(self) -> None:
        data = self._client.read(self._stream.stdin_room)
        if data:
            self._stream.send_stdin(data)
        elif data is not None:
            self._hears = False
            self._stream.close_stdin()

    def close(self, *, reset: bool) -> None:
        """A stream that is closed before its end resets the service's side."""
        if not self.over:
            self.over = True
            self._stream.__exit__()
            self._client.close(reset=reset)


class Tunnel:
    """All legs, from the start of this process to a signal. `connect` opens a stream to the port."""

    def __init__(self, connect: Callable[[], Stream], listener: socket.socket | None = None) -> None:
        self._connect = connect
        self._listener = listener
        self._legs: list[Leg] = []

    def run(self) -> None:
        """Serve the listener until a signal comes. An error of one connection is a warning."""
        with Signals(_ENDING) as signals:
            try:
                while self._turn(signals):
                    pass
            finally:
                for leg in self._legs:
                    leg.close(reset=True)

    def carry(self, client: StandardFiles) -> bool:
        """Serve one client to its end. False: the service broke off. Raises what the daemon reports, `port_refused` and
        others, and BrokenPipeError if our stdout has no reader."""
        leg = Leg(self._connect(), client)
        try:
            while not leg.over:
                leg.go_on(_poll(dict(leg.interests()), wait=not leg.has_early))
            return True
        except ConnectionResetError:
            return False
        finally:
            leg.close(reset=True)

    def _turn(self, signals: Signals) -> bool:
        wanted = {signals.fileno(): select.POLLIN}
        if self._listener is not None and len(self._legs) < LEGS_MAX:
            wanted[self._listener.fileno()] = select.POLLIN
        for leg in self._legs:
            wanted.update(leg.interests())
        ready = _poll(wanted, wait=not any(leg.has_early for leg in self._legs))
        if signals.fileno() in ready:
            return False
        for leg in self._legs:
            _go_on(leg, ready)
        self._legs = [leg for leg in self._legs if not leg.over]
        if self._listener is not None and self._listener.fileno() in ready:
            self._accept(self._listener)
        return True

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # it has gone again, or there are too many files
            return
        client = Client(connection)
        try:
            self._legs.append(Leg(self._connect(), client))
        except Error as exc:
            client.close(reset=True)
            _warn(exc.message)


def _go_on(leg: Leg, ready: dict[int, int]) -> None:
    try:
        leg.go_on(ready)
    except Error as exc:
        leg.close(reset=True)
        _warn(exc.message)
    except OSError:
        leg.close(reset=True)


def _poll(wanted: dict[int, int], *, wait: bool) -> dict[int, int]:
    poll = select.poll()
    for fd, events in wanted.items():
        poll.register(fd, events)
    return dict(poll.poll(None if wait else 0))


def _warn(message: str) -> None:
    from banger.cli.failure import warn

    warn(message)
