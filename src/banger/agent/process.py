"""One command in a guest, seen from the host: its streams with their windows, and its end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from itertools import chain
from signal import SIGKILL
from struct import Struct
from typing import NamedTuple

from banger.agent.connection import AgentConnection, AgentRefused, FieldList
from banger.errors import Error
from banger.host.thread import in_thread
from banger.model.command import Command, Exit
from banger.model.octets import bytes_of
from banger.wire.constants import MAX_DATA, STDERR, STDIN, STDOUT, WINDOW, Tag, Type
from banger.wire.fields import Fields, Malformed, encode_fields
from banger.wire.frames import Frame

_OFFSET = Struct("<Q")
_LATEST_OFFSET = 1 << 63
# The most pieces that wait. A guest may send its window byte by byte, and each piece costs a hundred bytes more.
_PIECES_MAX = 4096
_MANY_FIELDS = 4096
# An agent keeps at most 321.
_EXECS_MAX = 1024
_CHANNEL_MAX = (1 << 32) - 1


class Output(NamedTuple):
    stream: int
    data: bytes


class GuestProcess:
    """From `start_process` (or `adopt_process` after a new session) to the exit of the command.

    Read `outputs()` to its end; the guest may send 256 KiB per stream ahead of the reader. After that, `exit` is set.
    `write` and `close_stdin` are for stdin. Call `forget` at last, or at least `abandon`.
    """

    def __init__(self, connection: AgentConnection, channel: int) -> None:
        self.channel = channel
        self.pid = 0
        self.exit: Exit | None = None
        self.waits_for_guest = False
        """Nothing of it is left to be read."""
        self._connection = connection
        self._pending: deque[Output] = deque()
        self._arrived = asyncio.Event()
        self._received = {STDOUT: 0, STDERR: 0}
        self._consumed = {STDOUT: 0, STDERR: 0}
        self._credited = {STDOUT: 0, STDERR: 0}
        self._offered = {
            STDOUT: 0,
            STDERR: 0,
        }  # how far the guest has come in this session: it may begin again
        self._stdin_sent = 0
        self._stdin_consumed = 0
        self._stdin_room = asyncio.Event()
        self._stdin_closed = False
        self._stdin_unheard = bytearray()  # sent, and not consumed as far as is known
        self._is_between_sessions = False
        self._is_abandoned = False
        self._error: Error | None = None
        connection.open_channel(channel, self)

    async def outputs(self) -> AsyncIterator[Output]:
        """The output of the command, until the command has ended. Raises `agent_lost`."""
        while True:
            while self._pending:
                output = self._pending.popleft()
                yield output
                self._consumed[output.stream] += len(output.data)
                self._credit(output.stream)
            if self._has_said_all:
                return
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            self.waits_for_guest = True
            await self._arrived.wait()
            self.waits_for_guest = False

    @property
    def _has_said_all(self) -> bool:
        return self.exit is not None

    @property
    def stdin_consumed(self) -> int:
        return self._stdin_consumed

    async def write(self, data: bytes) -> None:
        """Send to stdin, and wait for space in its window. After the end of the command, the data is dropped silently.
        Raises `agent_lost`."""
        view = memoryview(data)
        while view and self._takes_stdin:
            if self._stdin_room_bytes <= 0:
                self._stdin_room.clear()
                await self._stdin_room.wait()
                self._raise_if_lost()
                continue
            if not await self._is_writable():
                continue
            if self._stdin_room_bytes <= 0 or not self._takes_stdin:
                continue  # another writer was quicker
            piece = bytes(view[: min(self._stdin_room_bytes, MAX_DATA)])
            view = view[len(piece) :]
            self._connection.send(Type.DATA, self.channel, _OFFSET.pack(self._stdin_sent) + piece, STDIN)
            self._stdin_unheard += piece
            self._stdin_sent += len(piece)

    async def _is_writable(self) -> bool:
        """Wait for the socket; False if the session ended meanwhile, and another follows."""
        try:
            await self._connection.writable()
        except Error:
            if not self._is_between_sessions:
                raise
            return False
        return True

    @property
    def _takes_stdin(self) -> bool:
        return not self._stdin_closed and self.exit is None

    @property
    def _stdin_room_bytes(self) -> int:
        if self._is_between_sessions:
            return 0
        return WINDOW - (self._stdin_sent - self._stdin_consumed)

    def close_stdin(self) -> None:
        if not self._stdin_closed and self._error is None:
            self._stdin_closed = True
            self._tell_end_of_stdin()

    def _tell_end_of_stdin(self) -> None:
        if not self._is_between_sessions:
            self._connection.send(Type.EOF, self.channel, _OFFSET.pack(self._stdin_sent), STDIN)

    async def signal(self, signo: int, timeout_s: float = 10, *, session: bool = False) -> None:
        """Send a signal to the process alone, or with `session` to all processes of its session."""
        fields = [(Tag.EXEC, self.channel), (Tag.SIGNAL, signo), (Tag.SESSION, int(session))]
        await self._connection.request(Type.SIGNAL, fields, timeout_s)

    def call_off(self) -> None:
        """Kill a command whose start was given up: a guest that hung may begin the command when it continues."""
        self.abandon()
        self._tell_kill()

    def _tell_kill(self) -> None:
        fields = [(Tag.EXEC, self.channel), (Tag.SIGNAL, SIGKILL), (Tag.SESSION, 1)]
        self._connection.tell(Type.SIGNAL, fields)

    async def resize(self, rows: int, cols: int) -> None:
        await self._connection.request(
            Type.RESIZE, [(Tag.EXEC, self.channel), (Tag.ROWS, rows), (Tag.COLS, cols)]
        )

    async def forget(self) -> None:
        """Let the agent drop its record of the command. Only after the daemon has recorded the exit."""
        self.abandon()
        await self._connection.request(Type.FORGET, [(Tag.EXEC, self.channel)])

    def abandon(self) -> None:
        """Stop listening to the command; the agent may keep its record."""
        self._is_abandoned = True
        self._connection.close_channel(self.channel)

    def on_frame(self, frame: Frame) -> None:
        if self.exit is not None:
            return  # an agent sends nothing after an exit
        elif frame.type == Type.DATA:
            self._on_data(frame)
        elif frame.type == Type.CREDIT and frame.flags == STDIN:
            self._on_stdin_credit(frame.payload)
        elif frame.type == Type.EXIT:
            fields = Fields(frame.payload)
            self.exit = read_exit(fields)
            self._arrived.set()
            self._stdin_room.set()

    def _on_data(self, frame: Frame) -> None:
        if frame.flags not in self._received or len(frame.payload) < _OFFSET.size:
            raise Malformed("data for a stream that does not exist")
        if len(frame.payload) > _OFFSET.size + MAX_DATA:
            raise Malformed("a piece of data is too long")
        (offset,) = _OFFSET.unpack_from(frame.payload)
        data = frame.payload[_OFFSET.size :]
        skip = self._received[frame.flags] - offset
        if skip < 0:
            raise Malformed("a gap in a stream")
        self._offered[frame.flags] = max(self._offered[frame.flags], offset + len(data))
        data = data[skip:]
        if not data:
            self._credit(frame.flags)  # the earlier session took the credit with it
            return
        self._received[frame.flags] += len(data)
        if self._received[frame.flags] - self._consumed[frame.flags] > WINDOW + MAX_DATA:
            raise Malformed("more data than the window allows")
        self._pending.append(Output(frame.flags, data))
        if len(self._pending) > _PIECES_MAX:
            self._join_pieces()
        self._arrived.set()

    def _join_pieces(self) -> None:
        """Join many small pieces to a few. The order of pieces between the two streams is lost."""
        for stream in self._received:
            joined = b"".join(output.data for output in self._pending if output.stream == stream)
            rest = deque(output for output in self._pending if output.stream != stream)
            rest.extend(Output(stream, joined[i : i + MAX_DATA]) for i in range(0, len(joined), MAX_DATA))
            self._pending = rest

    def _on_stdin_credit(self, payload: bytes) -> None:
        if len(payload) != _OFFSET.size:
            raise Malformed("a credit of a wrong size")
        (consumed,) = _OFFSET.unpack(payload)
        if self._stdin_consumed <= consumed <= self._stdin_sent:
            del self._stdin_unheard[: consumed - self._stdin_consumed]
            self._stdin_consumed = consumed
            self._stdin_room.set()

    def _credit(self, stream: int) -> None:
        """Tell the agent, in steps of half the window, that it may send more. It takes no credit for what it
        has not sent in this session."""
        consumed = min(self._consumed[stream], self._offered[stream])
        if consumed - self._credited[stream] >= WINDOW // 2:
            self._credited[stream] = consumed
            self._connection.send(Type.CREDIT, self.channel, _OFFSET.pack(consumed), stream)

    def on_lost(self, error: Error) -> None:
        self._error = error
        self._is_between_sessions = False
        self._arrived.set()
        self._stdin_room.set()

    def _raise_if_lost(self) -> None:
        if self._error is not None:
            raise self._error

    def resume_at(self, offsets: list[int], seen: tuple[int, int]) -> None:
        """Continue the streams in a new session, from the offsets that the agent has kept, without the bytes that were
        seen already. `seen` counts only within a window of the agent's offset; otherwise the guest or the record of
        `seen` is wrong."""
        stdin, stdout, stderr = (*offsets, 0, 0, 0)[:3]
        self._stdin_sent = self._stdin_consumed = stdin
        for stream, kept_from, known in ((STDOUT, stdout, seen[0]), (STDERR, stderr, seen[1])):
            begin = known if kept_from <= known <= kept_from + WINDOW else kept_from
            self._received[stream] = self._consumed[stream] = begin
            self._credited[stream] = self._offered[stream] = kept_from

    def wait_for_session(self, error: Error) -> bool:
        """The session has ended with that error. True if the command goes on in the next: its readers and writers wait
        until then."""
        if self._is_abandoned:
            return False
        self._is_between_sessions = True
        return True

    async def go_on(self, connection: AgentConnection, entry: KnownExec | None) -> None:
        """Continue in this session, in which the agent told of the command as `entry`. No byte is lost, and none comes
        twice. Raises `agent_lost`, `agent_error`, and the errors of a request."""
        self._connection = connection
        if self._is_abandoned:
            self._let_go()
            return
        if self.exit is None:
            if entry is None:
                raise Error(
                    "agent_lost", f"the agent of {connection.machine} knows nothing of the command any more"
                )
            await self._attach(connection, entry)
        else:  # what it said is still being read
            connection.open_channel(self.channel, self)
        self._is_between_sessions = False
        self._stdin_room.set()

    def _let_go(self) -> None:
        """Say what was meant to be said between the sessions: no task here waits for the command any more."""
        if self.exit is None:
            self._tell_kill()
        else:
            self._connection.tell(Type.FORGET, [(Tag.EXEC, self.channel)])

    async def _attach(self, connection: AgentConnection, entry: KnownExec) -> None:
        stdin, stdout, stderr = (*entry.offsets, 0, 0, 0)[:3]
        if not self._stdin_consumed <= stdin <= self._stdin_sent:
            raise Error("agent_error", f"{connection.machine}: stdin of a command at an impossible offset")
        for stream, kept_from in ((STDOUT, stdout), (STDERR, stderr)):
            self._credited[stream] = self._offered[stream] = kept_from
        connection.open_channel(self.channel, self)
        await connection.request(Type.ATTACH, [(Tag.EXEC, self.channel)])
        while stdin < self._stdin_sent and self.exit is None:
            await connection.writable()
            stdin = max(stdin, self._stdin_consumed)
            begin = stdin - self._stdin_consumed
            piece = bytes(self._stdin_unheard[begin : begin + MAX_DATA])
            connection.send(Type.DATA, self.channel, _OFFSET.pack(stdin) + piece, STDIN)
            stdin += len(piece)
        if self._stdin_closed:
            connection.send(Type.EOF, self.channel, _OFFSET.pack(self._stdin_sent), STDIN)

    @property
    def received(self) -> tuple[int, int]:
        """How many bytes of stdout and stderr arrived, or were skipped."""
        return self._received[STDOUT], self._received[STDERR]


async def start_process(
    connection: AgentConnection,
    command: Command,
    *,
    label: str = "",
    applet: str = "",
    make_cwd: bool = False,
    process_1: bool = False,
    timeout_s: float = 30,
    limits: Iterable[bytes] = (),
) -> GuestProcess:
    """Start a command, or a built-in `applet` of the agent; with `make_cwd` in a directory that need not exist yet,
    with `process_1` as process 1 of a pid namespace of its own. `limits` are limits of its processes. Raises
    `agent_lost`, `agent_silent`, and what the agent answers, such as `command_not_found`."""
    channel = connection.exec_channel()
    process = GuestProcess(connection, channel)
    fields = chain(
        _exec_fields(command, label, applet, make_cwd, process_1), ((Tag.RLIMIT, limit) for limit in limits)
    )
    try:
        if (
            len(command.argv) + len(command.env) > _MANY_FIELDS
        ):  # a quarter of a million of them takes a while
            payload = await in_thread(encode_fields, fields)
        else:
            payload = encode_fields(fields)
        answer = await connection.request_on(channel, Type.EXEC, payload, timeout_s)
    except AgentRefused:
        process.abandon()
        raise
    except BaseException:
        process.call_off()
        raise
    process.pid = answer.int_(Tag.PID)
    return process


async def adopt_process(connection: AgentConnection, entry: KnownExec, seen: tuple[int, int]) -> GuestProcess:
    """Take over an exec of an earlier session; `seen` counts the bytes of stdout and stderr that are known already."""
    process = GuestProcess(connection, entry.channel)
    process.pid = entry.pid
    process.resume_at(entry.offsets, seen)
    try:
        await connection.request(Type.ATTACH, [(Tag.EXEC, entry.channel)])
    except BaseException:
        process.abandon()
        raise
    return process


class KnownExec(NamedTuple):
    """An exec in the agent's table. `timeout_s` is what is left of its time-out, 0 if it has none."""

    channel: int
    pid: int
    running: bool
    exit: Exit | None
    offsets: list[int]
    label: str
    tty: bool = False
    stdin: bool = False
    timeout_s: float = 0


async def list_execs(connection: AgentConnection) -> list[KnownExec]:
    """The execs of earlier sessions. Their channels are reserved from now on: call this before any exec may start."""
    known = read_execs(await connection.request(Type.EXECS))
    connection.reserve_channels(max((entry.channel for entry in known), default=0))
    return known


def read_execs(answer: Fields) -> list[KnownExec]:
    """Decode the agent's answer to EXECS: each EXEC field begins the next entry. Raises `Malformed`."""
    entries: list[list[tuple[int, bytes]]] = []
    for tag, value in answer:
        if tag == Tag.EXEC:
            entries.append([])
        if entries:
            entries[-1].append((tag, value))
    if len(entries) > _EXECS_MAX:
        raise Malformed("more execs than an agent can have")
    known = [_read_known(Fields.of(entry)) for entry in entries]
    if len({entry.channel for entry in known}) < len(known):
        raise Malformed("two execs with one channel")
    return known


def _read_known(fields: Fields) -> KnownExec:
    running = bool(fields.int_(Tag.RUNNING))
    channel, offsets = fields.int_(Tag.EXEC), fields.ints(Tag.OFFSET)
    if not 0 < channel <= _CHANNEL_MAX or not all(0 <= offset < _LATEST_OFFSET for offset in offsets):
        raise Malformed("an exec with an impossible channel or offset")
    return KnownExec(
        channel,
        fields.int_(Tag.PID),
        running,
        None if running else read_exit(fields),
        offsets,
        fields.shown(Tag.LABEL, 256),
        bool(fields.int_(Tag.TTY)),
        bool(fields.int_(Tag.STDIN)),
        fields.int_(Tag.TIMEOUT_MS) / 1000,
    )


def read_exit(fields: Fields) -> Exit:
    """The exit code that a shell would report: 128+N for a signal, 124 for a time-out."""
    signal = fields.int_(Tag.EXIT_SIGNAL) & 0x7F
    timed_out = bool(fields.int_(Tag.TIMED_OUT))
    code = 124 if timed_out else 128 + signal if signal else fields.int_(Tag.EXIT_CODE) & 0xFF
    return Exit(code=code, signal=signal, timed_out=timed_out)


def _exec_fields(command: Command, label: str, applet: str, make_cwd: bool, process_1: bool) -> FieldList:
    if applet:
        yield Tag.APPLET, applet
    for argument in command.argv:
        yield Tag.ARGV, bytes_of(argument)
    for key, value in command.env.items():
        yield Tag.ENV, b"%b=%b" % (bytes_of(key), bytes_of(value))
    if command.cwd:
        yield Tag.CWD, bytes_of(command.cwd)
        yield Tag.MAKE_CWD, int(make_cwd)
    if command.user:
        yield Tag.USER, bytes_of(command.user)
    yield Tag.TTY, int(command.tty)
    yield Tag.STDIN, int(command.stdin)
    yield Tag.ROWS, command.rows
    yield Tag.COLS, command.cols
    if command.timeout_s:
        yield Tag.TIMEOUT_MS, max(1, int(command.timeout_s * 1000))
    if process_1:
        yield Tag.PROCESS_1, 1
    if label:
        yield Tag.LABEL, label
