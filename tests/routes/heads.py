"""Heads of requests that no client means well with, at the door: each gets an answer of the API's form, or the
connection ends, within the time that the door allows."""

from __future__ import annotations

import json
import socket
import time

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.routes.sending import Way

# The door allows a head ten seconds, and takes a moment to refuse it.
_LONGEST_S = 15.0
_NAMES = [
    *("Host", "Origin", "Sec-Fetch-Site", "Authorization", "Cookie", "X-Banger", "Content-Length", "Expect"),
    *(
        "Transfer-Encoding",
        "Connection",
        "Upgrade",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Banger-Request",
    ),
    *("Idempotency-Key", "Range", "Accept-Encoding", "X-Forwarded-For", "Content-Type", "Trailer"),
]
_VALUES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"chunked", b"0", b"-1", b"9" * 30, b"100-continue", b"websocket", b"upgrade", b"1", b""]
    ),
    st.integers(1, 40_000).map(lambda size: b"a" * size),
)
_HEADERS = st.lists(
    st.tuples(st.one_of(st.sampled_from([one.encode() for one in _NAMES]), st.binary(max_size=20)), _VALUES),
    max_size=30,
)
_TARGETS = st.one_of(
    st.sampled_from(
        [b"/v1/machines", b"/v1/run", b"/login", b"/", b"/metrics", b"*", b"//x", b"http://x/v1/machines"]
    ),
    st.binary(max_size=40).map(lambda raw: b"/v1/machines/" + raw),
    st.integers(1, 40_000).map(lambda size: b"/" + b"a" * size),
)
_METHODS = st.sampled_from(
    [b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE", b"get", b"\0"]
)
_ENDS = st.sampled_from([b"\r\n\r\n", b"\n\n", b"\r\n\r\n" + b"x" * 5000, b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"])


def knock(way: Way, number: int, count: int, end: float) -> list[str]:
    """What is wrong with the answers to `count` heads, until `end`."""
    found: list[str] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_METHODS, _TARGETS, _HEADERS, st.booleans(), _ENDS)
    def send_one(
        method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], comes_in: bool, ending: bytes
    ) -> None:
        if time.monotonic() > end:
            return
        given_headers = [(b"Host", way.host.encode()), (b"Connection", b"close"), *headers]
        if comes_in:
            given_headers.append((b"Authorization", b"Bearer " + way.token.encode()))
        head = b"\r\n".join(
            [method + b" " + target + b" HTTP/1.1", *(n + b": " + v for n, v in given_headers)]
        )
        fault = fault_of(_answer(way, head + ending))
        if fault:
            found.append(f"{fault} for {head[:600]!r} {ending[:40]!r}")

    send_one()
    return found


def _answer(way: Way, raw: bytes) -> bytes:
    """What comes until the connection ends. Raises TimeoutError."""
    begun, heard = time.monotonic(), b""
    with way.connect() as connection:
        connection.settimeout(_LONGEST_S)
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            while len(heard) < 1 << 20 and (piece := connection.recv(65536)):
                heard += piece
                if time.monotonic() - begun > _LONGEST_S:
                    raise TimeoutError
        except (BrokenPipeError, ConnectionResetError):
            pass
        except OSError as exc:
            if isinstance(exc, TimeoutError):
                return b"silence"
            raise
    return heard


def fault_of(heard: bytes) -> str:
    """What is wrong with an answer; empty if nothing is."""
    if not heard:
        return ""
    head, _, body = heard.partition(b"\r\n\r\n")
    first = head.split(b"\r\n")[0].split(b" ")
    if len(first) < 2 or first[0] != b"HTTP/1.1" or not first[1].isdigit():
        return f"no answer but {heard[:100]!r}"
    status = int(first[1])
    if status >= 500:
        return f"status {status} {body[:300]!r}"
    if status >= 400 and body.startswith(b"{"):
        try:
            return "" if json.loads(body)["error"]["code"] else "an error without a code"
        except (ValueError, KeyError, TypeError):
            return f"no error of the API: {body[:200]!r}"
    return ""
