"""The command line's connection to the daemon: calls with JSON in and out, and a warning about versions."""

from __future__ import annotations

import os
import socket

from banger import __version__
from banger.client.request_id import ensure_request_id
from banger.client.transport import VERSION_HEADER, dial
from banger.client.way import choose_way, names_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.call import Call
    from banger.client.messages import Json
    from banger.client.stream import Stream
    from banger.client.transport import Answer


class Daemon:
    """The place of the daemon. Holds no connection. `start`: whether to start a daemon if there is none (never to
    complete a word in a shell)."""

    def __init__(self, start: bool = True) -> None:
        ensure_request_id()
        self.path, self._way = choose_way()
        self._start = start and "BANGER_COMPLETING" not in os.environ
        self._warned = False

    def dial(self) -> socket.socket:
        if self._way is not None:
            return self._way.dial()
        if not self._start or names_host() or os.environ.get("BANGER_SOCKET"):
            return dial(self.path)
        from banger.client.start import dial_or_start

        return dial_or_start(self.path)

    def call(self, call: Call[object]) -> object:
        """The answer of the call as JSON data; None for an empty one."""
        from banger.client.exchange import decode_json

        return decode_json(self.open(call).read())

    def record(self, call: Call[object]) -> Json:
        """As `call`, for an answer that is an object."""
        data = self.call(call)
        return data if isinstance(data, dict) else {}

    def records(self, call: Call[object]) -> list[Json]:
        """As `call`, for an answer that is a list of objects."""
        data = self.call(call)
        return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []

    def open(self, call: Call[object]) -> Answer:
        """The answer of the call; its body is not read yet."""
        from banger.client.exchange import encode_json, open_answer

        answer = open_answer(self.dial, call, encode_json)
        self._compare_version(answer.headers)
        return answer

    def stream(self, target: str, request: Json) -> Stream:
        from banger.client.stream import open_stream

        stream = open_stream(self.dial, target, request)
        self._compare_version(stream.headers)
        return stream

    @property
    def _advice(self) -> str:
        return "" if names_host() else ": run `banger system restart`"

    def _compare_version(self, headers: dict[str, str]) -> None:
        theirs = headers.get(VERSION_HEADER, __version__)
        if theirs != __version__ and not self._warned:
            from banger.cli.failure import warn

            warn(f"the daemon is version {theirs}, this command is version {__version__}{self._advice}")
            self._warned = True
