"""A registry in the memory of a test that takes pushes, and does what the test says instead of the right answer."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_PATH = re.compile(r"/v2/(.+)/(blobs/uploads|blobs|manifests)/(.*)")
_CHUNK_BYTES = 16 * 1024


class FaultyRegistry:
    """`faults` are what the next requests of a step get: "head" asks for a blob, "post" begins an upload, "put" sends a
    blob, "manifest" sends a manifest. A step without faults is answered rightly. `log` has the steps as they came."""

    def __init__(self) -> None:
        self.host = ""
        self.faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.log: list[str] = []
        self.tokens: list[str] = []
        self.accepted = ""
        """The only token that is accepted; "" accepts all."""


class Exchange(BaseHTTPRequestHandler):
    """One request."""

    registry: FaultyRegistry
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._step("head", lambda: self.answer(200 if self._name() in self.registry.blobs else 404))

    def do_POST(self) -> None:
        self._step("post", lambda: self.answer(202, Location="/v2/a/blobs/uploads/1?state=x"))

    def do_PUT(self) -> None:
        if "/manifests/" in self.path:
            self._step("manifest", self._take_manifest)
        else:
            self._step("put", self._take_blob)

    def do_GET(self) -> None:
        self.registry.log.append("token")
        self.registry.accepted = f"t{len(self.registry.tokens)}"
        self.registry.tokens.append(self.path)
        self.answer(200, b'{"token": "%s", "expires_in": 300}' % self.registry.accepted.encode())

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length", "0"))
        while left > 0 and (piece := self.rfile.read(min(left, _CHUNK_BYTES))):
            left -= len(piece)
            yield piece

    def hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """The test reads `log` instead."""

    def _step(self, step: str, right: Callable[[], None]) -> None:
        self.registry.log.append(step)
        if faults := self.registry.faults[step]:
            faults.pop(0)(self)
        elif self.registry.accepted and not self._is_known():
            challenge = f'Bearer realm="http://{self.registry.host}/token",service="s"'
            b"".join(self.body())
            self.answer(401, WWW_Authenticate=challenge)
        else:
            right()

    def _is_known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.registry.accepted}"

    def _name(self) -> str:
        found = _PATH.fullmatch(urlsplit(self.path).path)
        return found[3] if found else ""

    def _take_blob(self) -> None:
        data = b"".join(self.body())
        digest = parse_qs(urlsplit(self.path).query)["digest"][0]
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
            return self.answer(400)
        self.registry.blobs[digest] = data
        self.answer(201)

    def _take_manifest(self) -> None:
        data = b"".join(self.body())
        self.registry.manifests[self._name()] = (self.headers["Content-Type"], data)
        self.answer(201, Docker_Content_Digest="sha256:" + hashlib.sha256(data).hexdigest())


Fault = Callable[[Exchange], None]


def says(status: int, **headers: str) -> Fault:
    """Take the body, then answer with this status."""

    def fault(exchange: Exchange) -> None:
        b"".join(exchange.body())
        exchange.answer(status, b"", **headers)

    return fault


def breaks_off(exchange: Exchange) -> None:
    """Read some of the body, and close the connection."""
    next(exchange.body(), b"")
    exchange.hang_up()


@contextmanager
def open_faulty_registry() -> Iterator[FaultyRegistry]:
    registry = FaultyRegistry()
    handler = type("Handler", (Exchange,), {"registry": registry})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        registry.host = f"127.0.0.1:{server.server_address[1]}"
        serving = threading.Thread(target=server.serve_forever, args=(0.02,))
        serving.start()
        try:
            yield registry
        finally:
            server.shutdown()
            serving.join()
