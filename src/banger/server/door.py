"""The door: the listener on TCP, for browsers and for the bearers of tokens. It is closed until a user opens it.

Strangers can connect to it. What they can hold is bounded before other code sees a request: few connections, short
heads and waits, and a connection whose other end takes nothing more is ended by the kernel.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import cast

import uvicorn
from uvicorn.server import ServerState

from banger.errors import Error
from banger.host.thread import in_thread
from banger.server.assets import Assets
from banger.server.protocol import BoundedProtocol

log = logging.getLogger("banger.door")

LOOPBACK = "127.0.0.1"
CONNECTIONS_MAX = 256
HANDSHAKE_TIMEOUT_S = 10.0
# How long the other end may take nothing of what was sent.
_STALLED_MS = 120_000
_END_S = 2.0
_SETTLE_S = 0.05
_BODY_LOOK_S = 30.0
# The fewest bytes of a body between two looks.
_BODY_SLOWEST = 1024


class DoorProtocol(BoundedProtocol):
    """A connection of a stranger: stricter limits, and a body may not trickle."""

    head_limit_bytes = 32 * 1024
    head_timeout_s = 10.0
    connections_limit = CONNECTIONS_MAX
    _look: asyncio.TimerHandle | None = None
    _came_bytes = 0

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._look_again()

    def on_body(self, body: bytes) -> None:
        self._came_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop_looking()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_looking()
        super().connection_lost(exc)

    def _look_again(self) -> None:
        self._stop_looking()
        self._came_bytes = 0
        self._look = self.loop.call_later(_BODY_LOOK_S, self._look_at_body)

    def _look_at_body(self) -> None:
        if self._came_bytes < _BODY_SLOWEST and not self.flow.read_paused:
            self.transport.abort()
        else:
            self._look_again()

    def _stop_looking(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None


class TcpDoor:
    """From `open` to `close`, as often as wanted; the daemon has one."""

    def __init__(self, config: uvicorn.Config, assets: Assets) -> None:
        self._config = config
        self._assets = assets
        self._server: asyncio.Server | None = None
        self._state = ServerState()
        self._port = 0
        self._turn = asyncio.Lock()
        self.fingerprint = ""

    async def open(self, port: int | None) -> str:
        """Listen on the loopback. Raises `listen_failed`, `in_use`."""
        async with self._turn:
            await in_thread(self._assets.read)
            if self._server is None:
                await self._listen(LOOPBACK, port or 0, None)
                log.info("serving browsers on %s", self._url())
            elif port not in (None, self._port):
                text = f"the daemon listens on {self._url()} already"
                raise Error("in_use", text, "leave out --port, or run `banger ui --stop` first")
            return self._url()

    async def close(self) -> None:
        """Stop listening, and end the connections."""
        async with self._turn:
            server, self._server = self._server, None
            if server is None:
                return
            await _stop_accepting(server)
            server.close()
            for connection in list(self._state.connections):
                connection.shutdown()
            tasks = list(self._state.tasks)
            if tasks:
                _, left = await asyncio.wait(tasks, timeout=_END_S)
                for task in left:
                    task.cancel()
            for connection in list(self._state.connections):
                transport = getattr(connection, "transport", None)
                if transport is not None:
                    transport.abort()
            log.info("serving browsers no more")

    async def _listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        if not self._config.loaded:
            self._config.load()
        self._state = ServerState()
        self._state.default_headers = list(self._config.encoded_headers)
        listener = _bound(host, port)
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._meet, sock=listener, ssl=tls, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if tls else None
            )
        except BaseException:
            listener.close()
            raise
        self._port = listener.getsockname()[1]

    def _meet(self) -> asyncio.Protocol:
        made = DoorProtocol(config=self._config, server_state=self._state, app_state={})
        return cast("asyncio.Protocol", made)

    def _url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"


async def _stop_accepting(server: asyncio.Server) -> None:
    """asyncio forgets connections that it accepted just before the end of their server: nothing would close them."""
    for listener in server.sockets:
        asyncio.get_running_loop().remove_reader(listener.fileno())
    await asyncio.sleep(_SETTLE_S)


def _bound(host: str, port: int) -> socket.socket:
    """Raises `listen_failed`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)
        listener.bind((host, port))
        listener.listen(CONNECTIONS_MAX)
        listener.setblocking(False)
    except OSError as exc:
        listener.close()
        where = f"{host}:{port}"
        hint = "choose another port, or leave it out"
        raise Error("listen_failed", f"cannot listen on {where}: {exc.strerror or exc}", hint) from exc
    return listener
