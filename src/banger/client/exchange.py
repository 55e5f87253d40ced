"""Calls carried out without the structs: JSON in and JSON out.

The command line uses this, because loading the structs takes 35 ms, and because fields of a newer daemon are passed on.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from banger.client.call import Call, Pieces
from banger.client.http1 import may_ask_again, refuse
from banger.client.patience import Patience
from banger.client.transport import Answer, Body, Dial, request
from banger.errors import Error
from banger.model.octets import replace_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json


def open_answer(
    dial: Dial, call: Call[object], encode: Callable[[object], bytes], timeout_s: float | None = None
) -> Answer:
    """Send the call and wait for the head of its answer. Raises the error that the answer contains. A daemon may end
    between taking the connection and answering: then a call that only reads, or has an idempotency key, is sent once
    more. `timeout_s` limits the
    whole answer, or the beginning of a stream."""
    patience = Patience(timeout_s, call.silence_s)
    body, content_type = plan_body(call, encode)

    def ask() -> Answer:
        return request(dial(), call.method, call.target, body, content_type, call.key, patience)

    try:
        answer = ask()
    except Error as exc:
        if not may_ask_again(call.method, call.key, exc):
            raise
        answer = ask()
    if call.is_stream:
        answer.patience = Patience()
    return answer.checked()


def plan_body(call: Call[object], encode: Callable[[object], bytes]) -> tuple[Body, str]:
    """The body of the call as bytes or pieces, and its media type."""
    if isinstance(call.body, Pieces):
        return call.body.pieces, call.body.media
    return (None if call.body is None else encode(call.body)), "application/json"


def encode_json(body: object) -> bytes:
    """JSON. Text with surrogate escapes, which stand for bytes, is encoded as docs/api.md says. Raises
    `bad_request`."""
    text = json.dumps(body, ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    try:
        return replace_bytes(text.encode("utf-8", "surrogateescape"), "\\u0000").encode()
    except UnicodeEncodeError as exc:
        raise Error("bad_request", "an unpaired surrogate is neither text nor bytes") from exc


def decode_json(body: bytes) -> object:
    """The data of an answer; None for an empty one."""
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError) as exc:
        raise refuse("an answer that is not JSON") from exc


def decode_line(line: bytes) -> Json:
    """An event of a stream. JSON that is not an object is an event without fields."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise refuse("an event that is not JSON") from exc
    return event if isinstance(event, dict) else {}
