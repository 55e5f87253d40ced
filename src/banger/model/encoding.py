"""JSON as banger writes it, for clients and into the store."""

from __future__ import annotations

import msgspec

from banger.model.octets import text_of


def encode_json(value: object) -> bytes:
    """JSON, encoded by msgspec. Text in which Python keeps bytes that are not UTF-8, such as names of files, is written
    in the form of `octets`."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_spelled(msgspec.to_builtins(value)))


def _spelled(value: object) -> object:
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, dict):
        return {_spelled(key): _spelled(member) for key, member in value.items()}
    return [*map(_spelled, value)] if isinstance(value, list) else value
