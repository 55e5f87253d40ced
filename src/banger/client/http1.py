"""HTTP/1.1 as bytes: requests written, answers read. Pure: no socket, no clock.

What the daemon sends is bounded before it is believed: the head by HEAD_LIMIT, a chunk's size line by
LINE_LIMIT. Whatever breaks the grammar raises `daemon_unreachable`: the thing that listens there
is not a banger daemon. Source: RFC 9112.
"""

from __future__ import annotations

from banger.errors import Error

HEAD_LIMIT = 64 * 1024
LINE_LIMIT = 256
_UNANSWERED = "unanswered"
_CHUNK_LIMIT = 1 << 40
_HEX = frozenset(b"0123456789abcdefABCDEF")
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


def quote(value: object) -> str:
    """Percent-encode everything but RFC 3986's unreserved characters, `/` too."""
    text = str(value) if not isinstance(value, bool) else "true" if value else "false"
    raw = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in raw)


def encode_query(pairs: dict[str, object]) -> str:
    """`?a=b&c=d`, or nothing for no pairs. A list becomes a pair for each of its values."""
    each = [(k, one) for k, v in pairs.items() for one in (v if isinstance(v, list) else [v])]
    return "?" + "&".join(f"{quote(k)}={quote(v)}" for k, v in each) if each else ""


def encode_request(method: str, target: str, headers: dict[str, str], host: str = "banger") -> bytes:
    """A request's head. A line break in any part of it is a bug of the caller: ValueError."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{k}: {v}" for k, v in headers.items())]
    if any(ord(letter) < 32 or ord(letter) == 127 for line in lines for letter in line):
        raise ValueError("a control character in a request's head")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def encode_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; no bytes at all is the end of it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def refuse(reason: str) -> Error:
    """The error for bytes that no banger daemon sends."""
    return Error(
        "daemon_unreachable",
        f"the answer does not come from a banger daemon: {reason}",
        "find out which program listens there, or set BANGER_SOCKET or BANGER_HOST to another place",
    )


def lost(where: str, answered: bool = True) -> Error:
    """The error for a connection that ended too early; its details say whether any byte had arrived."""
    return Error(
        "daemon_unreachable",
        f"the connection to the daemon ended {where}",
        "`banger system info` shows whether the daemon still runs; the daemon's log may say why it ended",
        {} if answered else {_UNANSWERED: True},
    )


def may_ask_again(method: str, key: str, error: Error) -> bool:
    """Whether a call can be sent again: no byte of an answer arrived, and the call only reads, or has an idempotency
    key."""
    return (method == "GET" or bool(key)) and _UNANSWERED in error.details


class Head:
    """Status and headers of an answer; header names in lower case."""

    __slots__ = ("headers", "status")

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers


def parse_head(block: bytes) -> Head:
    """Parse the lines before the empty line."""
    first, *lines = block.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    digits = rest[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (digits.isascii() and digits.isdigit()):
        raise refuse("no HTTP status line")
    if rest[3:4] not in ("", " ") or int(digits) < 100:
        raise refuse("no HTTP status line")
    headers: dict[str, str] = {}
    for line in lines:
        name, value = _parse_header(line)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Head(int(digits), headers)


def _parse_header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip() or "\n" in line or "\r" in line or "\0" in line:
        raise refuse("a malformed header")
    return name.lower(), value.strip(" \t")


class _Nothing:
    """An empty body."""

    done = True

    def take(self, buffer: bytearray) -> bytes:
        return b""

    def end(self) -> None:
        return


class _Counted:
    """A body with a Content-Length."""

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def done(self) -> bool:
        return self._left == 0

    def take(self, buffer: bytearray) -> bytes:
        piece = bytes(memoryview(buffer)[: self._left])
        del buffer[: len(piece)]
        self._left -= len(piece)
        return piece

    def end(self) -> None:
        raise lost("inside an answer")


class _UntilClose:
    """A body that ends with the connection."""

    done = False

    def take(self, buffer: bytearray) -> bytes:
        piece = bytes(buffer)
        buffer.clear()
        return piece

    def end(self) -> None:
        self.done = True


class _Chunked:
    """A chunked body. Extensions are skipped; trailers are read and dropped."""

    done = False

    def __init__(self) -> None:
        self._left = 0
        self._step = self._size_line
        self._trailers = 0

    def take(self, buffer: bytearray) -> bytes:
        pieces: list[bytes] = []
        while not self.done and self._step(buffer, pieces):
            pass
        return b"".join(pieces)

    def end(self) -> None:
        raise lost("inside an answer")

    def _size_line(self, buffer: bytearray, pieces: list[bytes]) -> bool:
        line = _take_line(buffer)
        if line is None:
            return False
        digits = line.partition(b";")[0].strip(b" \t")
        if not digits or not _HEX.issuperset(digits) or int(digits, 16) > _CHUNK_LIMIT:
            raise refuse("a bad chunk size")
        self._left = int(digits, 16)
        self._step = self._data if self._left else self._trailer
        return True

    def _data(self, buffer: bytearray, pieces: list[bytes]) -> bool:
        piece = bytes(memoryview(buffer)[: self._left])
        del buffer[: len(piece)]
        self._left -= len(piece)
        pieces.append(piece)
        if self._left == 0:
            self._step = self._after_data
        return self._left == 0

    def _after_data(self, buffer: bytearray, pieces: list[bytes]) -> bool:
        if len(buffer) < 2:
            return False
        if buffer[:2] != b"\r\n":
            raise refuse("a chunk without its end")
        del buffer[:2]
        self._step = self._size_line
        return True

    def _trailer(self, buffer: bytearray, pieces: list[bytes]) -> bool:
        line = _take_line(buffer)
        if line is None:
            return False
        self._trailers += len(line)
        if self._trailers > HEAD_LIMIT:
            raise refuse("trailers without end")
        self.done = line == b""
        return True


def _take_line(buffer: bytearray) -> bytes | None:
    end = buffer.find(b"\r\n", 0, LINE_LIMIT + 2)
    if end < 0:
        if len(buffer) > LINE_LIMIT:
            raise refuse("an endless line in a chunked body")
        return None
    line = bytes(buffer[:end])
    del buffer[: end + 2]
    return line


class AnswerReader:
    """One answer, from the bytes of a connection: `feed` the bytes, `take` the body.

    `head` is set once it is complete. After a 101 all later bytes are in `rest`, for the protocol that follows.
    """

    def __init__(self) -> None:
        self.head: Head | None = None
        self.rest = b""
        self._has_begun = False
        self._buffer = bytearray()
        self._body: _Nothing | _Counted | _UntilClose | _Chunked | None = None

    @property
    def done(self) -> bool:
        return self._body is not None and self._body.done

    def feed(self, data: bytes) -> None:
        """Add bytes of the connection; empty bytes mean that it has ended."""
        if not data:
            self._end()
        self._has_begun = True
        self._buffer += data
        while self.head is None and self._read_head():
            pass

    def take(self) -> bytes:
        """The bytes of the body that have arrived since the last call."""
        return self._body.take(self._buffer) if self._body else b""

    def _end(self) -> None:
        if self._body is None:
            raise lost("before an answer", answered=self._has_begun)
        if not self._body.done:
            self._body.end()

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n", 0, HEAD_LIMIT)
        if end < 0:
            if len(self._buffer) >= HEAD_LIMIT:
                raise refuse("an answer's headers have no end")
            return False
        head = parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        if 100 <= head.status < 200 and head.status != 101:
            return True
        self.head = head
        self._body = _choose_body(head)
        if head.status == 101:
            self.rest = bytes(self._buffer)
        return False


def _choose_body(head: Head) -> _Nothing | _Counted | _UntilClose | _Chunked:
    """RFC 9112, section 6.3."""
    if head.status in (101, 204, 304):
        return _Nothing()
    coding = head.headers.get("transfer-encoding")
    length = head.headers.get("content-length")
    if coding is not None:
        if coding.lower() != "chunked" or length is not None:
            raise refuse("a body of two lengths or of an unknown coding")
        return _Chunked()
    if length is None:
        return _UntilClose()
    if not (length.isascii() and length.isdigit()) or len(length) > 15:
        raise refuse("a bad Content-Length")
    return _Counted(int(length))
