"""The real server on the loopback, with an engine that has no machines: for those who knock."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from banger.access.access import Access
from banger.machines.keep.operations import Operations
from banger.machines.keep.registry import Registry
from banger.model.settings import WebSettings
from banger.server.app import create_app
from banger.server.assets import Assets
from banger.server.door import DoorProtocol, TcpDoor
from banger.server.gate import Gate
from banger.server.protocol import BoundedProtocol
from banger.server.reception import ApiServer
from banger.store.store import Store

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class OpenDoor:
    """What a test does from its own thread: `do` runs a coroutine on the server's loop."""

    def __init__(self, access: Access, loop: asyncio.AbstractEventLoop, door: TcpDoor, url: str) -> None:
        self.access, self.loop, self.door, self.url = access, loop, door, url
        self.address = urlsplit(url).netloc
        host, _, port = self.address.rpartition(":")
        self.place = (host, int(port))

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def call(self, work: Any) -> Any:
        """The result of a function that belongs to the loop's thread."""

        async def called() -> Any:
            return work()

        return self.do(called())

    def link(self) -> str:
        return str(self.call(self.access.browsers.make_link)[0])

    def token(self, name: str = "t", rights: Any = "write", lasts_s: float | None = None) -> str:
        return str(self.call(lambda: self.access.tokens.create(name, rights, lasts_s)).secret)

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one request."""
        connection = HTTPConnection(*self.place, timeout=60)
        try:
            given = {"Host": self.address, **(headers or {})}
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            raw = b"" if body is None else json.dumps(body).encode()
            for name, value in {**given, "Content-Length": str(len(raw))}.items():
                connection.putheader(name, value)
            connection.endheaders(raw)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, b"" if answer.status == 101 else answer.read()
        finally:
            connection.close()

    def told(self, *asked: Any, **more: Any) -> tuple[int, str]:
        """Status, and the code of the error or empty."""
        status, _, body = self.ask(*asked, **more)
        return status, json.loads(body)["error"]["code"] if status >= 400 else ""

    def logged_in(self) -> dict[str, str]:
        """The headers of a browser that followed a link."""
        status, headers, _ = self.ask("POST", "/login", {"X-Banger": "1"}, {"link": self.link()})
        assert status == 204
        return {"Cookie": headers["set-cookie"].partition(";")[0]}

    def connect(self) -> socket.socket:
        return socket.create_connection(self.place, timeout=60)


def prepare_engine(directory: Path) -> Any:
    """An engine without machines, images or kernels."""
    store = Store(directory / "s.db")

    registry = Registry(store, lambda *_, **__: None)
    return SimpleNamespace(
        access=Access(store.tokens),
        operations=Operations(store.operations),
        registry=registry,
        lives=SimpleNamespace(registry=registry, live={}, vmms=list),
        makings=None,
        snapshots=None,
        store=store,
    )


@contextmanager
def open_door(
    directory: Path, names: tuple[str, ...] = (), certificate: str = "", key: str = ""
) -> Iterator[OpenDoor]:
    """A door that is open during the block."""
    made: list[OpenDoor] = []
    ready, end = threading.Event(), threading.Event()

    async def serve() -> None:
        engine = prepare_engine(directory)
        assets = Assets()
        gate = Gate(create_app(engine), engine.access, assets, names)
        config = uvicorn.Config(
            gate,
            http=DoorProtocol,
            ws=WebSocketsSansIOProtocol,
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            server_header=False,
        )
        settings = WebSettings(certificate=certificate, key=key)
        door = TcpDoor(config, assets, settings, directory / "web")
        engine.access.has_door(door)
        made.append(OpenDoor(engine.access, asyncio.get_running_loop(), door, await door.open(None)))
        ready.set()
        await asyncio.to_thread(end.wait)
        await door.close()
        engine.store.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(60)
        yield made[0]
    finally:
        end.set()
        thread.join()


@contextmanager
def open_socket(directory: Path) -> Iterator[str]:
    """The path of the socket of a server with the same application, during the block."""
    engine = prepare_engine(directory)
    listener = socket.socket(socket.AF_UNIX)
    path = str(directory / "s")
    listener.bind(path)
    listener.listen()
    gate = Gate(create_app(engine), engine.access, Assets())
    config = uvicorn.Config(
        gate,
        http=BoundedProtocol,
        ws=WebSocketsSansIOProtocol,
        lifespan="off",
        log_config=None,
        headers=[("Banger-Version", "1")],
    )
    ends: list[Callable[[], object]] = []
    ready = threading.Event()

    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        ends.append(lambda: loop.call_soon_threadsafe(stop.set))
        ready.set()
        await ApiServer(config, stop).serve(sockets=[listener])

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(60)
        yield path
    finally:
        ends[0]()
        thread.join()
        listener.close()
        engine.store.close()
