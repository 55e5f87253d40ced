"""A web server on loopback: Python's, with ranges, and with the faults that a test asks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

_RANGE = re.compile(r"bytes=([0-9]+)-")


class Web:
    """`asked` has path and first byte of each request; `cut_after` is how many bytes of a body are sent before the
    connection is cut, each time a body is longer, so often as `cuts` says. `before` is called with each path before the
    file is read, and may change what there is."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.asked: list[tuple[str, int]] = []
        self.cuts = 0
        self.cut_after = 0
        self.url = ""
        self.before: Callable[[str], None] = lambda path: None

    def count(self, path: str) -> int:
        return sum(asked.endswith(path) for asked, _ in self.asked)


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, web: Web) -> None:
        self._web = web
        super().__init__(*arguments, directory=str(web.directory))

    def do_GET(self) -> None:
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        begin = int(match[1]) if match else 0
        self._web.asked.append((self.path, begin))
        self._web.before(self.path)
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        body = path.read_bytes()
        self.send_response(206 if match else 200)
        if match:
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        body = body[begin:]
        if self._web.cuts and len(body) > self._web.cut_after:
            self._web.cuts -= 1
            body = body[: self._web.cut_after]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


@contextmanager
def open_web(directory: Path) -> Iterator[Web]:
    web = Web(directory)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, web=web))
    server.daemon_threads = True
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
