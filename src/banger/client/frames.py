"""WebSocket frames as bytes (RFC 6455, section 5). Pure: no socket, no clock.

`encode_frame` writes what a client sends; `FrameReader` turns what it receives into whole messages.
A text or data message has at most `limit` bytes, however many fragments it comes in. Neither side may use
extensions, so any reserved bit is an error.
"""

from __future__ import annotations

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MESSAGE_LIMIT = 256 * 1024
# The most bytes from the daemon: a machine comes with its command, which may be as long as a guest accepts.
TOLD_LIMIT = 32 * 1024 * 1024
_CONTROL_LIMIT = 125
_OPCODES = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))

NORMAL, PROTOCOL_ERROR, BAD_TEXT, TOO_BIG = 1000, 1002, 1007, 1009

_ones: dict[int, int] = {}


class BadFrame(Exception):
    """The peer broke the protocol; `close_code` is the answer."""

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(reason)
        self.close_code = close_code
        self.reason = reason


def mask(data: bytes | memoryview, key: bytes) -> bytes:
    """XOR with the repeated 4-byte key; the same again undoes it.

    One XOR of big integers: 500 MB/s, where a loop over bytes makes 10. Multiplying the key by
    0x…0000000100000001 repeats it.
    """
    size = len(data)
    words = (size + 3) // 4
    repeated = int.from_bytes(key, "little") * _ones_of(words)
    return (int.from_bytes(data, "little") ^ repeated).to_bytes(4 * words, "little")[:size]


def _ones_of(words: int) -> int:
    """A 1 in each of `words` 32-bit words. A few results are kept: nearly all pieces of a stream have the same size."""
    ones = _ones.get(words)
    if ones is None:
        if len(_ones) >= 8:
            _ones.clear()
        ones = _ones[words] = int.from_bytes(b"\1\0\0\0" * words, "little")
    return ones


def encode_frame(opcode: int, payload: bytes, key: bytes | None, final: bool = True) -> bytes:
    """One frame. `key` is the 4-byte mask, fresh for each frame; None (a server's frame) is unmasked."""
    size = len(payload)
    first = opcode | (0x80 if final else 0)
    masked = 0x80 if key is not None else 0
    if size <= 125:
        head = bytes((first, masked | size))
    elif size <= 0xFFFF:
        head = bytes((first, masked | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, masked | 127)) + size.to_bytes(8, "big")
    return head + payload if key is None else head + key + mask(payload, key)


def encode_close(code: int, reason: str = "") -> bytes:
    """The payload of a close frame."""
    text = reason.encode()[: _CONTROL_LIMIT - 2].decode("utf-8", "ignore")
    return code.to_bytes(2, "big") + text.encode()


def parse_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame; 1005 if it has none."""
    if not payload:
        return 1005, ""
    if len(payload) == 1:
        raise BadFrame(PROTOCOL_ERROR, "a close frame of one byte")
    code = int.from_bytes(payload[:2], "big")
    if not (3000 <= code <= 4999 or code in _CLOSE_CODES):
        raise BadFrame(PROTOCOL_ERROR, f"close code {code}")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise BadFrame(BAD_TEXT, "a close reason that is not UTF-8") from None


_CLOSE_CODES = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))

Message = tuple[int, bytes]


class FrameReader:
    """Bytes in, whole messages out, as `(opcode, payload)`. Control frames are messages of their own.

    `masked`: whether frames have to be masked: a server gets masked frames, a client unmasked ones.
    """

    def __init__(self, masked: bool = False, limit: int = MESSAGE_LIMIT) -> None:
        self._masked = masked
        self._limit = limit
        self._buffer = bytearray()
        self._opcode = CONTINUATION
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def in_message(self) -> bool:
        """Whether an end of the stream now would cut a message."""
        return bool(self._buffer or self._opcode)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes. Raises BadFrame."""
        self._buffer += data
        messages: list[Message] = []
        at = 0
        while frame := self._read_frame(at):
            first, payload, at = frame
            if message := self._accept(first & 0x0F, bool(first & 0x80), payload):
                messages.append(message)
        del self._buffer[:at]
        return messages

    def _read_frame(self, at: int) -> tuple[int, bytes, int] | None:
        """First byte, payload and end of the frame at `at`; None if it is incomplete."""
        buffer = self._buffer
        if len(buffer) < at + 2:
            return None
        first, second = buffer[at], buffer[at + 1]
        self._check(first, second)
        size = second & 0x7F
        start = at + 2
        if size >= 126:
            start += 2 if size == 126 else 8
            if len(buffer) < start:
                return None
            size = _extended_size(buffer[at + 2 : start])
        self._check_size(first & 0x0F, size)
        return self._cut(first, start, size)

    def _cut(self, first: int, start: int, size: int) -> tuple[int, bytes, int] | None:
        body = start + (4 if self._masked else 0)
        end = body + size
        if len(self._buffer) < end:
            return None
        with memoryview(self._buffer) as view:
            payload = bytes(view[body:end])
            if self._masked:
                payload = mask(payload, bytes(view[start:body]))
        return first, payload, end

    def _check(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise BadFrame(PROTOCOL_ERROR, "a reserved bit is set")
        if opcode not in _OPCODES:
            raise BadFrame(PROTOCOL_ERROR, f"unknown opcode {opcode}")
        if bool(second & 0x80) != self._masked:
            raise BadFrame(PROTOCOL_ERROR, "a frame is masked that must not be, or the other way round")
        if opcode >= CLOSE and (not first & 0x80 or second & 0x7F > _CONTROL_LIMIT):
            raise BadFrame(PROTOCOL_ERROR, "a control frame is fragmented or too long")

    def _check_size(self, opcode: int, size: int) -> None:
        if opcode < CLOSE and self._size + size > self._limit:
            raise BadFrame(TOO_BIG, f"a message of more than {self._limit} bytes")

    def _accept(self, opcode: int, final: bool, payload: bytes) -> Message | None:
        if opcode >= CLOSE:
            return opcode, payload
        if (opcode == CONTINUATION) != bool(self._opcode):
            raise BadFrame(PROTOCOL_ERROR, "fragments out of order")
        if final and opcode:
            return opcode, payload
        return self._join(opcode, final, payload)

    def _join(self, opcode: int, final: bool, payload: bytes) -> Message | None:
        self._opcode = opcode or self._opcode
        self._parts.append(payload)
        self._size += len(payload)
        if len(self._parts) > 1024:
            raise BadFrame(TOO_BIG, "a message of more than 1024 fragments")
        if not final:
            return None
        message = self._opcode, b"".join(self._parts)
        self._opcode, self._parts, self._size = CONTINUATION, [], 0
        return message


def _extended_size(digits: bytearray) -> int:
    """RFC 6455: the shortest form is required, and the top bit is 0."""
    size = int.from_bytes(digits, "big")
    if size < (126 if len(digits) == 2 else 0x10000) or size >> 63:
        raise BadFrame(PROTOCOL_ERROR, "a length that is not in its shortest form")
    return size
