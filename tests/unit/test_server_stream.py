"""What clients of streams may say, and what becomes of those that say nothing, or go away."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from starlette.requests import Request
from starlette.websockets import WebSocketDisconnect

from banger.api.machines import EXEC, RUN
from banger.engine.attachments import SESSIONS
from banger.errors import Error
from banger.machines.ask.attachments import Attachment, Detached, Last, Left
from banger.server import streams
from banger.server.calls import read_limited


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


class Client(Socket):
    """Hears what it is told; leaves after its last message, unless it is to stay."""

    scope: ClassVar = {"state": {"peer_uid": 0}}

    def __init__(self, *messages: dict[str, Any], stays: bool = False) -> None:
        first = {"type": "websocket.receive", "text": "{}"}
        last = [] if stays else [{"type": "websocket.disconnect"}]
        super().__init__(first, *messages, *last)
        self.heard: list[dict[str, Any]] = []

    async def accept(self) -> None: ...

    async def close(self) -> None: ...

    async def send_text(self, text: str) -> None:
        self.heard.append(json.loads(text))


def converse(monkeypatch: pytest.MonkeyPatch, *messages: dict[str, Any], stays: bool = True) -> Any:
    """What the client heard, and why the attachment ended."""
    why: list[Left] = []

    async def life(attachment: Attachment) -> Last:
        try:
            await attachment.unless_left(asyncio.Event().wait())
        except Left as exc:
            why.append(exc)
            if exc.error is not None or type(exc) is Left:
                raise
        return Detached("dev")

    monkeypatch.setitem(SESSIONS, EXEC.name, lambda *_: Attachment(life))
    monkeypatch.setattr(streams, "principal_of", lambda socket: None)
    client: Any = Client(*messages, stays=stays)
    engine: Any = SimpleNamespace()
    asyncio.run(asyncio.wait_for(streams.serve(EXEC, engine, client), 30))
    return client.heard, why


def text(words: str) -> dict[str, str]:
    return {"type": "websocket.receive", "text": words}


DETACH = text('{"type": "detach"}')


@pytest.mark.parametrize(
    "words",
    [
        "",
        "{",
        "[]",
        '"resize"',
        "{}",
        '{"type": "of a later version"}',
        '{"type": ["detach"]}',
        '{"type": "resize"}',
        '{"type": "resize", "rows": -1, "cols": 80}',
        '{"type": "resize", "rows": 65536, "cols": 80}',
        '{"type": "resize", "rows": 24.5, "cols": 80}',
        '{"type": "signal"}',
        '{"type": "signal", "signal": "TERM"}',
        '{"type": "signal", "signal": true}',
        '{"type": "signal", "signal": 1e400}',
    ],
)
def test_a_message_that_makes_no_sense_is_refused_and_all_goes_on(
    monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    heard, _ = converse(monkeypatch, text(words), DETACH)
    assert [one["type"] for one in heard] == ["refused", "detached"]
    assert heard[0]["error"]["code"] in ("bad_request", "bad_spec")


def test_senseless_messages_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, _ = converse(monkeypatch, *[text("{}")] * 10_000, DETACH)
    assert heard[-1]["type"] == "detached" and len(heard) < 100


@pytest.mark.parametrize(
    "data", [b"", b"\1out", b"\0" + bytes((1 << 20) + 1)], ids=["none", "stdout", "too much"]
)
def test_bytes_that_cannot_be_taken_end_the_stream_and_say_why(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    heard, why = converse(monkeypatch, {"type": "websocket.receive", "bytes": data})
    assert [one["type"] for one in heard] == ["error"] and why[0].error is not None


def test_a_client_that_leaves_is_gone_for_the_attachment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, why = converse(monkeypatch, stays=False)
    assert heard == [] and [type(one) for one in why] == [Left]


def test_a_reader_that_fails_leaves_no_attachment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    _, why = converse(monkeypatch, {"type": "websocket.receive", "bytes": 5})
    assert [type(one) for one in why] == [Left]


def test_a_client_that_goes_away_within_a_body_is_no_bug_of_ours() -> None:
    messages = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(Error) as caught:
        asyncio.run(read_limited(request, 100))
    assert caught.value.code == "cancelled"


@pytest.mark.parametrize(
    ("session", "message"),
    [(RUN, '{"spec": {"image": "x"}, "unheard_of": true}'), (EXEC, '{"unheard_of": 1}')],
)
def test_a_field_that_no_request_has_is_refused(session: Any, message: str) -> None:
    socket: Any = Socket({"type": "websocket.receive", "text": message})
    with pytest.raises(Error) as caught:
        asyncio.run(streams._receive_request(socket, session))
    assert caught.value.code == "bad_spec" and "unheard_of" in caught.value.message
