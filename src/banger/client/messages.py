"""The messages of a stream (docs/api.md), as events, and the count of credits. Pure.

Binary messages are a channel byte and data; text messages are JSON. A `Conversation` decodes the daemon's messages and
tells how much stdin may be sent.
"""

from __future__ import annotations

import json

from banger.client.frames import BINARY
from banger.client.http1 import refuse
from banger.errors import Error

STDIN, STDOUT, STDERR = 0, 1, 2
STDIN_WINDOW = 1024 * 1024
PIECE_LIMIT = 64 * 1024
# The most bytes of the first message: all arguments that a kernel accepts, with every byte escaped.
REQUEST_LIMIT = 16 * 1024 * 1024

Json = dict[str, object]


class Event:
    """A message of the daemon. An event with `last` ends the conversation."""

    __slots__ = ()
    last = False


class Output(Event):
    """Output of the command; `channel` is STDOUT or STDERR."""

    __slots__ = ("channel", "data")

    def __init__(self, channel: int, data: memoryview) -> None:
        self.channel = channel
        self.data = data


class Progress(Event):
    """Progress of the work before the command. A `total` of 0 means that it is unknown."""

    __slots__ = ("done", "layers", "message", "phase", "total", "unit")

    def __init__(self, said: Json) -> None:
        self.layers = said.get("layers")
        self.phase = _text(said, "phase")
        self.message = _text(said, "message")
        self.done = _number(said, "done")
        self.total = _number(said, "total")
        self.unit = _text(said, "unit")


class MachineMade(Event):
    """The machine of a run exists; `machine` is its record, as in the API."""

    __slots__ = ("machine",)

    def __init__(self, said: Json) -> None:
        machine = said.get("machine")
        if not isinstance(machine, dict):
            raise refuse("a machine that is not a JSON object")
        self.machine: Json = machine

    @property
    def name(self) -> str:
        return _text(self.machine, "name")


class Started(Event):
    """The command runs."""

    __slots__ = ("exec_id", "pid")

    def __init__(self, said: Json) -> None:
        self.exec_id = _number(said, "exec")
        self.pid = _number(said, "pid")


class OutputEnded(Event):
    """The service at the other end of a tunnel has said all. What this client still sends arrives."""

    __slots__ = ()

    def __init__(self, said: Json) -> None:
        pass


class Refused(Event):
    """A signal or a window size did not reach the command; the stream continues."""

    __slots__ = ("error",)

    def __init__(self, said: Json) -> None:
        error = said.get("error")
        self.error = (
            Error.from_dict(error) if isinstance(error, dict) else refuse("a refusal without a reason")
        )


class Exited(Event):
    """The command ended; `code` is the exit code that a shell would report."""

    __slots__ = ("code", "denials", "signal", "timed_out", "timings_ms")
    last = True

    def __init__(self, said: Json) -> None:
        self.code = _number(said, "code") & 0xFF
        self.signal = _number(said, "signal")
        self.timed_out = said.get("timed_out") is True
        timings = said.get("timings_ms")
        self.timings_ms = _numbers(timings) if isinstance(timings, dict) else {}
        denials = said.get("denials")
        self.denials: list[Json] = (
            [one for one in denials if isinstance(one, dict)] if isinstance(denials, list) else []
        )


class Detached(Event):
    """The command continues in `machine` without this client."""

    __slots__ = ("machine",)
    last = True

    def __init__(self, said: Json) -> None:
        self.machine = _text(said, "machine")


_EVENTS = {
    "progress": Progress,
    "machine": MachineMade,
    "started": Started,
    "stdout_eof": OutputEnded,
    "refused": Refused,
    "exit": Exited,
    "detached": Detached,
}


class Conversation:
    """State of one stream: whether the command has started, how much stdin may be sent, whether the stream has
    ended."""

    def __init__(self) -> None:
        self.started = False
        self.finished = False
        self._sent = 0
        self._consumed = 0

    @property
    def room(self) -> int:
        """Bytes of stdin that may be sent now."""
        return STDIN_WINDOW - (self._sent - self._consumed) if self.started and not self.finished else 0

    def hear(self, opcode: int, payload: bytes) -> Event | None:
        """The event in a message of the daemon. Raises the Error that the message contains."""
        event = _output(payload) if opcode == BINARY else self._hear_text(payload)
        if isinstance(event, Started | Output):
            self.started = True
        self.finished = self.finished or (event is not None and event.last)
        return event

    def encode_stdin(self, data: bytes | memoryview) -> bytes:
        """The message for a piece of stdin of at most `room` and PIECE_LIMIT bytes."""
        if len(data) > min(self.room, PIECE_LIMIT):
            raise ValueError("more stdin than the client has room for")
        self._sent += len(data)
        return b"\0" + data

    def _hear_text(self, payload: bytes) -> Event | None:
        said = _parse(payload)
        kind = said.get("type")
        if kind == "credit":
            self._credit(_number(said, "consumed"))
            return None
        if kind == "error":
            self.finished = True
            error = said.get("error")
            raise Error.from_dict(error) if isinstance(error, dict) else refuse("an error without a reason")
        event = _EVENTS.get(kind) if isinstance(kind, str) else None
        return event(said) if event else None

    def _credit(self, consumed: int) -> None:
        if not self._consumed <= consumed <= self._sent:
            raise refuse("credit for bytes that were never sent")
        self._consumed = consumed


def check_request(request: bytes) -> bytes:
    """The first message of a stream itself. Raises `payload_too_large`."""
    if len(request) > REQUEST_LIMIT:
        raise Error(
            "payload_too_large",
            f"the command has {len(request)} bytes as JSON, at most {REQUEST_LIMIT} are allowed",
            "pass less in arguments and variables, and the rest through stdin or a file",
        )
    return request


def encode_message(kind: str, **fields: object) -> bytes:
    """A control message of the client."""
    return json.dumps({"type": kind, **fields}).encode()


def _parse(payload: bytes) -> Json:
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError) as exc:
        raise refuse("a message that is not JSON") from exc
    if not isinstance(said, dict):
        raise refuse("a message that is not a JSON object")
    return said


def _output(payload: bytes) -> Output:
    channel = payload[0] if payload else -1
    if channel not in (STDOUT, STDERR):
        raise refuse("data on a channel that does not exist")
    return Output(channel, memoryview(payload)[1:])


def _text(said: Json, name: str) -> str:
    value = said.get(name, "")
    if not isinstance(value, str):
        raise refuse(f"a message whose {name} is not text")
    return value


def _number(said: Json, name: str) -> int:
    """A whole number, 0 if there is none. A boolean passes, too: Python counts it as one."""
    value = said.get(name, 0)
    if value is None:
        return 0
    if not isinstance(value, int):
        raise refuse(f"a message whose {name} is not a whole number")
    return value


def _numbers(said: Json) -> dict[str, float]:
    return {name: float(value) for name, value in said.items() if isinstance(value, int | float)}
