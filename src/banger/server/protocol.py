"""HTTP as uvicorn speaks it, with limits on heads and connections, which take memory before any other code looks at
them.

`calls` limits bodies, uvicorn's own settings limit messages of streams.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import struct
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from banger.errors import Error
from banger.model.encoding import encode_json

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

# The key in a scope's `state` of the uid of the process at the other end.
PEER_UID = "peer_uid"
# What each answer over TCP says to browsers.
GUARD_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
HEAD_LIMIT_BYTES = 64 * 1024
HEAD_TIMEOUT_S = 20.0
_CONNECTIONS_MAX = 1024
# A refused client that still sends has this time to read why: closing the connection at once would lose the answer.
_LINGER_S = 1.0


def connections_max() -> int:
    """At most half of the files that this process may open: machines need some, too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _CONNECTIONS_MAX if soft == resource.RLIM_INFINITY else max(16, min(_CONNECTIONS_MAX, soft // 2))


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A refusal is answered in the API's form; then the connection is closed, at the latest after a
    moment."""

    head_limit_bytes = HEAD_LIMIT_BYTES
    head_timeout_s = HEAD_TIMEOUT_S
    connections_limit = _CONNECTIONS_MAX
    refusal_headers: Mapping[str, str] = MappingProxyType({})
    _head_bytes = 0  # in the complete lines of this head
    # Received since the parser last returned something: the rest of a head, of a trailer, of a chunk's size.
    _held_bytes = 0
    _too_large = _refused = False
    _deadline: asyncio.TimerHandle | None = None
    # The request that is being answered. Further requests of the connection wait for its end.
    _at_work: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        # In the scopes of requests and of WebSockets: each begins with a copy.
        self.app_state = {**self.app_state, PEER_UID: _uid_at(transport.get_extra_info("socket"))}
        if len(self.connections) > min(connections_max(), self.connections_limit):
            hint = "close connections that you do not need"
            self._refuse(Error("too_many_connections", "the daemon has too many connections", hint))
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._held_bytes += len(data)
        super().data_received(data)
        if self._held_bytes > self.head_limit_bytes and not self._refused:
            self._refuse(_too_large(self.head_limit_bytes))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        if self._deadline is None:  # a further request on the same connection
            self._expect_head()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_is_here()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._held_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._held_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        too_large = _too_large(self.head_limit_bytes)
        self._refuse(too_large if self._too_large else Error("bad_request", "this is not an HTTP request"))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._at_work = cycle
        super()._start_asgi_task(cycle, app)

    def _count(self, size: int) -> None:
        """Count bytes of the head. The parser stops at the exception, and answers 400."""
        self._head_bytes += size
        if self._head_bytes > self.head_limit_bytes:
            self._too_large = True
            raise ValueError("a head without an end")

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(self.head_timeout_s, self._come_too_late)

    def _head_is_here(self) -> None:
        self._held_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _come_too_late(self) -> None:
        if not self._held_bytes:  # not one byte: the client connected and was stopped, or left
            self.transport.close()
            return
        hint = "send the whole head of a request at once"
        self._refuse(
            Error(
                "head_timeout",
                f"the head of a request was not complete within {self.head_timeout_s:g} s",
                hint,
            )
        )

    def _refuse(self, error: Error) -> None:
        self._head_is_here()
        if self._at_work is not None:  # its client sent more than it may: the rest of its answer is not sent
            self._at_work.disconnected = True
            self._at_work.message_event.set()
        body = encode_json({"error": error.as_dict()})
        status = HTTPStatus(error.http_status)
        head = [f"HTTP/1.1 {status.value} {status.phrase}", "Content-Type: application/json"]
        head += [f"Content-Length: {len(body)}", "Connection: close"]
        head += [f"{name}: {value}" for name, value in self.refusal_headers.items()]
        self.transport.write("\r\n".join([*head, "", ""]).encode() + body)
        if self.transport.can_write_eof():  # not with TLS
            self.transport.write_eof()
        self._refused = True
        self._deadline = self.loop.call_later(_LINGER_S, self.transport.close)


def _uid_at(connection: socket.socket) -> int | None:
    """The uid of the process at the other end of a Unix socket, from the kernel; None for other sockets."""
    if connection.family != socket.AF_UNIX:
        return None
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


def _too_large(limit_bytes: int) -> Error:
    message = f"the head of a request may have at most {limit_bytes} bytes"
    return Error("head_too_large", message, "send long data in the body")
