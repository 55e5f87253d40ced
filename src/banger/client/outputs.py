"""What a command in a machine says, put together from the events of its stream. Pure."""

from __future__ import annotations

import codecs
from collections import deque
from typing import Literal, NamedTuple

from banger.client.http1 import lost
from banger.client.messages import STDOUT, Detached, Event, Exited, Output, Refused, Started
from banger.client.results import CompletedRun
from banger.errors import Error

# Of output that arrives while a caller writes.
HELD_BYTES = 64 << 20


class Said(NamedTuple):
    """A piece of a command's output. `text` are the characters that these bytes complete: a character that is cut
    comes with the next piece."""

    source: Literal["stdout", "stderr"]
    data: bytes
    text: str


class Listener:
    """Hears one stream. `said` are the pieces that are not taken yet; all are kept."""

    def __init__(self) -> None:
        self.exec_id = 0
        self.pid = 0
        self.said: deque[Said] = deque()
        self.exited: Exited | None = None
        self.refused: list[Error] = []
        self._detached = False
        self._heard_bytes = self._taken_bytes = 0
        self._decoders = {
            channel: codecs.getincrementaldecoder("utf-8")("replace") for channel in ("stdout", "stderr")
        }

    def hear(self, event: Event) -> None:
        if isinstance(event, Output):
            source: Literal["stdout", "stderr"] = "stdout" if event.channel == STDOUT else "stderr"
            data = bytes(event.data)
            self._heard_bytes += len(data)
            self.said.append(Said(source, data, self._decoders[source].decode(data)))
        elif isinstance(event, Started):
            self.exec_id, self.pid = event.exec_id, event.pid
        elif isinstance(event, Exited):
            self.exited = event
        elif isinstance(event, Refused):
            self.refused.append(event.error)
        elif isinstance(event, Detached):
            self._detached = True

    def take(self) -> Said:
        """The oldest piece that waits."""
        said = self.said.popleft()
        self._taken_bytes += len(said.data)
        return said

    def check_held(self) -> None:
        """Raises `payload_too_large` if too much output waits to be taken."""
        if self._heard_bytes - self._taken_bytes > HELD_BYTES:
            raise Error("payload_too_large", f"more than {HELD_BYTES} bytes of output wait to be taken")

    def finish(self, pieces: list[Said]) -> CompletedRun[bytes]:
        """The whole command, from the pieces of its output. Raises `bad_state` if it continues without this client."""
        if self._detached:
            raise Error("bad_state", "the command continues: this client has detached from it")
        if self.exited is None:
            raise lost("before the command did")
        output = {name: b"".join(one.data for one in pieces if one.source == name) for name in self._decoders}
        return CompletedRun(output["stdout"], output["stderr"], self.exited)
