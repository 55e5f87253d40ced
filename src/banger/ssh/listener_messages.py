"""The messages of a listener's stream (docs/protocol.md), between bytes and values. Pure. What comes is hostile."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from banger.errors import AgentError

PIECE_BYTES = 32 * 1024
WINDOW_BYTES = 128 * 1024
CREDIT_STEP_BYTES = WINDOW_BYTES // 4
CONNECTIONS_MAX = 64
_HEAD = Struct("<HHI")
_CREDIT = Struct("<I")
_NAME_BYTES = 256


class Kind(IntEnum):
    READY = 1
    OPENED = 2
    DATA = 3
    END = 4
    BROKEN = 5
    CREDIT = 6
    STOP = 7


# How long the contents of each kind that the guest may send are, at least and at most.
_LENGTHS = {
    Kind.READY: (1, _NAME_BYTES),
    Kind.OPENED: (0, _NAME_BYTES),
    Kind.DATA: (1, PIECE_BYTES),
    Kind.END: (0, 0),
    Kind.BROKEN: (0, 0),
    Kind.CREDIT: (_CREDIT.size, _CREDIT.size),
}


class Message(NamedTuple):
    """`number` is that of the connection, 0 for READY and STOP."""

    kind: Kind
    number: int
    data: bytes = b""

    @property
    def credit(self) -> int:
        """Bytes, of a CREDIT."""
        return int(_CREDIT.unpack(self.data)[0])

    def encode(self) -> bytes:
        return _HEAD.pack(self.kind, len(self.data), self.number) + self.data


def make_credit(number: int, count_bytes: int) -> Message:
    return Message(Kind.CREDIT, number, _CREDIT.pack(count_bytes))


class MessageReader:
    """Bytes of a guest into messages. Holds less than one message."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes | memoryview) -> Iterator[Message]:
        """The messages that are complete now. Raises `agent_error` for what is none."""
        self._held += data
        at = 0
        try:
            while len(self._held) - at >= _HEAD.size:
                number, length, connection = _HEAD.unpack_from(self._held, at)
                kind = _check(number, length, connection)
                if len(self._held) - at < _HEAD.size + length:
                    return
                at += _HEAD.size + length
                yield Message(kind, connection, bytes(self._held[at - length : at]))
        finally:
            del self._held[:at]


def _check(number: int, length: int, connection: int) -> Kind:
    """Before any of the contents are awaited."""
    for kind, (least, most) in _LENGTHS.items():
        if kind == number and least <= length <= most and (connection == 0) == (kind is Kind.READY):
            return kind
    raise refuse(f"a message of kind {number} with {length} bytes")


def refuse(what: str) -> AgentError:
    return AgentError("agent_error", f"a listener in the machine sent {what}")
