"""One made-up request on a connection of its own: through the daemon's socket, or through its door with a token."""

from __future__ import annotations

import http.client
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import requests
import schemathesis
from schemathesis.transport import SerializationContext

# An answer that goes on for longer, or has more bytes, is a stream: its beginning counts.
STREAM_S = 1.0
_MOST_BYTES = 8 << 20
_SLOWEST_S = 60.0
_STREAMS = ("application/octet-stream", "application/x-ndjson", "application/x-tar", "application/zstd")


@schemathesis.serializer("application/x-tar", "application/zstd")
def _as_it_is(context: SerializationContext, value: Any) -> bytes:
    raw = getattr(value, "data", value)
    return raw if isinstance(raw, bytes) else str(raw).encode("utf-8", "surrogatepass")


class Way:
    """Where requests go. `token` is empty for the socket."""

    def __init__(self, name: str, place: str, token: str = "") -> None:
        self.name = name
        self.token = token
        self._place = place

    def connect(self) -> socket.socket:
        if self.token:
            found = urlsplit(self._place)
            return socket.create_connection((found.hostname or "", found.port or 0), timeout=_SLOWEST_S)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_SLOWEST_S)
        connection.connect(self._place)
        return connection

    @property
    def host(self) -> str:
        return urlsplit(self._place).netloc if self.token else "banger"


def prepare(case: schemathesis.Case[Any], way: Way) -> requests.PreparedRequest | None:
    """The request on the wire; None for one that no HTTP client would send."""
    try:
        made = requests.Request(**case.as_transport_kwargs(base_url=f"http://{way.host}")).prepare()
    except (requests.RequestException, UnicodeError, ValueError):
        return None
    if way.token:
        made.headers["Authorization"] = f"Bearer {way.token}"
    return made


def send(made: requests.PreparedRequest, way: Way) -> schemathesis.Response:
    """The answer. Raises OSError and HTTPException if there is none that HTTP knows."""
    connection = http.client.HTTPConnection(way.host, timeout=_SLOWEST_S)
    carried = connection.sock = way.connect()
    begun = time.monotonic()
    try:
        connection.putrequest(made.method or "", made.path_url, skip_accept_encoding=True)
        for name, value in made.headers.items():
            if name.lower() != "host":
                connection.putheader(name, value)
        try:
            connection.endheaders(_bytes_of(made.body))
        except (BrokenPipeError, ConnectionResetError):
            pass  # an answer before the end of the body
        answer = connection.getresponse()
        headers: dict[str, list[str]] = {}
        for name, value in answer.getheaders():
            headers.setdefault(name.lower(), []).append(value)
        return schemathesis.Response(
            answer.status,
            headers,
            _read(carried, answer),
            made,
            time.monotonic() - begun,
            verify=False,
            message=answer.reason,
            encoding="utf-8",
        )
    finally:
        connection.close()


def _bytes_of(body: Any) -> bytes | None:
    return body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else None


def _read(carried: socket.socket, answer: http.client.HTTPResponse) -> bytes:
    if answer.status != 200 or (answer.getheader("Content-Type") or "").partition(";")[0] not in _STREAMS:
        return answer.read(_MOST_BYTES)
    end, found = time.monotonic() + STREAM_S, b""
    carried.settimeout(STREAM_S)
    try:
        while len(found) < _MOST_BYTES and time.monotonic() < end and (piece := answer.read1(65536)):
            found += piece
    except TimeoutError:
        pass
    return found
