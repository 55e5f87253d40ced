"""What this room needs of its caller."""

from __future__ import annotations

from typing import Protocol

from banger.client.call import Call
from banger.client.messages import Json
from banger.client.stream import Stream
from banger.client.transport import Answer


class Hands(Protocol):
    """How calls are made, and who is told what happens."""

    def call(self, call: Call[object]) -> object:
        """The answer, as JSON data."""

    def open(self, call: Call[object]) -> Answer:
        """The answer, not yet read."""

    def stream(self, target: str, request: Json) -> Stream: ...

    def finish(self, call: Call[object]) -> Json:
        """The ended operation that the call began. Raises the error that it failed with."""

    def show(self, output: bytes | memoryview) -> None:
        """Show what the build prints."""

    def say(self, what: str) -> None:
        """Tell the user what is done next."""

    def warn(self, what: str) -> None: ...
