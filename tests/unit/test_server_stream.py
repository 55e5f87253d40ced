"""A stream whose client says nothing, or goes away before it said what it wants."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest
from starlette.websockets import WebSocketDisconnect

from banger.api.machines import EXEC
from banger.errors import Error
from banger.server import streams


class Socket:
    """Has these messages, then nothing more."""

    path_params: ClassVar = {"machine": "dev"}

    def __init__(self, *messages: dict[str, str]) -> None:
        self._messages = [*messages]

    async def receive(self) -> dict[str, str]:
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop(0)


def ask(*messages: dict[str, str]) -> Any:
    socket: Any = Socket(*messages)
    return asyncio.run(streams._receive_request(socket, EXEC))


def test_a_stream_whose_first_message_never_comes_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEAD_TIMEOUT_S", 0.01)
    with pytest.raises(Error) as caught:
        ask()
    assert caught.value.code == "head_timeout" and caught.value.hint


def test_one_that_says_at_once_what_it_wants_is_heard() -> None:
    message = {"type": "websocket.receive", "text": '{"command": {"argv": ["true"]}}'}
    asked = ask(message)
    assert (asked.machine, asked.command.argv) == ("dev", ["true"])


def test_the_path_is_not_said_twice() -> None:
    with pytest.raises(Error) as caught:
        ask({"type": "websocket.receive", "text": '{"machine": "other"}'})
    assert caught.value.code == "bad_spec"


def test_one_that_leaves_before_is_gone() -> None:
    with pytest.raises(WebSocketDisconnect):
        ask({"type": "websocket.disconnect"})
