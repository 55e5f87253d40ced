"""The types of answers, and JSON to and from them. Loads msgspec."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from banger.client.call import Call
from banger.client.exchange import encode_json
from banger.client.http1 import refuse
from banger.model.operation import Operation

T = TypeVar("T")

_decoders: dict[str, msgspec.json.Decoder[Any]] = {}


def encode(body: object) -> bytes:
    """Structs, and plain data with structs in it, as JSON. Raises `bad_request`."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:  # bytes that are not UTF-8, as Python represents them in text
        return encode_json(msgspec.to_builtins(body))


def decode(call: Call[T], body: bytes) -> T:
    """The body of the answer to `call`. Raises `daemon_unreachable` for a body of another type."""
    if call.answer == "None":
        return cast("T", None)
    decoder = _decoders.get(call.answer)
    if decoder is None:
        decoder = _decoders[call.answer] = msgspec.json.Decoder(types()[call.answer])
    try:
        return cast("T", decoder.decode(body))
    except msgspec.MsgspecError as exc:
        raise refuse(f"an answer of the wrong shape ({exc})") from exc


def convert_operation(data: object) -> Operation[Any]:
    """An operation whose result is a struct of its type."""
    made = data.get("made") if isinstance(data, dict) else ""
    wanted: Any = types().get(f"Operation[{made}]", Operation[Any])
    return cast("Operation[Any]", convert(data, wanted))


@cache
def types() -> dict[str, Any]:
    """The types of all answers by their names."""
    from banger.api.table import VERBS  # this module has all requests, too, which cost some ms
    from banger.api.verb import type_name

    return {type_name(verb.result): verb.result for verb in VERBS}


def convert(data: object, wanted: type[T]) -> T:
    """Decoded JSON data as a struct."""
    try:
        return msgspec.convert(data, wanted, strict=False)
    except msgspec.MsgspecError as exc:
        raise refuse(f"data of the wrong shape ({exc})") from exc
