"""Fields of a frame's payload (docs/protocol.md, "Fields"): tag u16, length u32, value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct

from banger.errors import AgentError

_HEAD = Struct("<HI")
# Several times the number in the longest answer. A payload could hold 43690 fields, which would take tens of
# milliseconds to read.
_MAX_FIELDS = 16384

Value = int | str | bytes


class Malformed(AgentError):
    """The bytes are no list of fields, or a field does not have its type. For the caller of the agent, an
    `agent_error`."""

    def __init__(self, message: str) -> None:
        super().__init__("agent_error", f"the agent sent invalid data: {message}")


def encode_fields(fields: Iterable[tuple[int, Value]]) -> bytes:
    parts: list[bytes] = []
    for tag, value in fields:
        raw = _encode_value(value)
        parts += (_HEAD.pack(tag, len(raw)), raw)
    return b"".join(parts)


def _encode_value(value: Value) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(8, "little", signed=value < 0)
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return value


class Fields:
    """A decoded payload. Accessors return a default for a tag that is absent, and raise `Malformed` for a field that
    does not have its type. Text is decoded with `surrogateescape`, which loses nothing."""

    def __init__(self, payload: bytes) -> None:
        self._items = list(_iterate(payload))

    @classmethod
    def of(cls, items: list[tuple[int, bytes]]) -> Fields:
        """Fields that belong to another payload, as a payload of their own."""
        fields = cls(b"")
        fields._items = items
        return fields

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return iter(self._items)

    def all_bytes(self, tag: int) -> list[bytes]:
        return [value for key, value in self._items if key == tag]

    def bytes_(self, tag: int, default: bytes = b"") -> bytes:
        return next((value for key, value in self._items if key == tag), default)

    def int_(self, tag: int, default: int = 0) -> int:
        raw = next((value for key, value in self._items if key == tag), None)
        return default if raw is None else decode_int(raw)

    def ints(self, tag: int) -> list[int]:
        return [decode_int(value) for value in self.all_bytes(tag)]

    def str_(self, tag: int, default: str = "") -> str:
        raw = next((value for key, value in self._items if key == tag), None)
        return default if raw is None else decode_str(raw)

    def shown(self, tag: int, limit: int) -> str:
        """Text for people and for JSON: one line of at most `limit` characters, whatever the bytes are."""
        return readable(self.bytes_(tag), limit)

    def strs(self, tag: int) -> list[str]:
        return [decode_str(value) for value in self.all_bytes(tag)]


def decode_int(raw: bytes) -> int:
    if len(raw) != 8:
        raise Malformed(f"an integer of {len(raw)} bytes")
    return int.from_bytes(raw, "little", signed=True)


def decode_str(raw: bytes) -> str:
    if b"\0" in raw:
        raise Malformed("a string with a NUL")
    return raw.decode("utf-8", "surrogateescape")


def readable(raw: bytes, limit: int) -> str:
    """One line of at most `limit` characters; a character that cannot be shown becomes a question mark."""
    text = raw[: 4 * limit].decode("utf-8", "replace")[:limit]
    return "".join(c if c.isprintable() else "?" for c in text)


def _iterate(payload: bytes) -> Iterator[tuple[int, bytes]]:
    position, count, end = 0, 0, len(payload)
    while position < end:
        if position + _HEAD.size > end:
            raise Malformed("a field's head is cut off")
        tag, length = _HEAD.unpack_from(payload, position)
        position += _HEAD.size
        if length > end - position:
            raise Malformed("a field is longer than its payload")
        count += 1
        if count > _MAX_FIELDS:
            raise Malformed("too many fields")
        yield tag, payload[position : position + length]
        position += length
