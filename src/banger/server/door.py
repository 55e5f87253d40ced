"""The door: the listener on TCP, for browsers and for the bearers of tokens. It is closed until a user opens it.

Strangers can connect to it. What they can hold is bounded before other code sees a request: few connections, short
heads and waits, and a connection whose other end takes nothing more is ended by the kernel.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import uvicorn
from uvicorn.server import ServerState

from banger.directories import ensure_private_directory
from banger.errors import Error
from banger.host.fs import read_plain, write_file
from banger.host.thread import in_thread
from banger.model.settings import WebSettings
from banger.server.assets import Assets
from banger.server.certificates import ensure_own, load_tls
from banger.server.protocol import GUARD_HEADERS, BoundedProtocol

if TYPE_CHECKING:
    import ssl

log = logging.getLogger("banger.door")

LOOPBACK = "127.0.0.1"
CONNECTIONS_MAX = 256
HANDSHAKE_TIMEOUT_S = 10.0
# How long the other end may take nothing of what was sent.
_STALLED_MS = 120_000
_END_S = 2.0
_PAUSE_S = 1.0
_EVERYWHERE = ("0.0.0.0", "::")
_BODY_LOOK_S = 30.0
# The fewest bytes of a body between two looks.
_BODY_SLOWEST = 1024


class DoorProtocol(BoundedProtocol):
    """A connection of a stranger: stricter limits, and a body may not trickle."""

    head_limit_bytes = 32 * 1024
    head_timeout_s = 10.0
    connections_limit = CONNECTIONS_MAX
    refusal_headers = GUARD_HEADERS
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

    def handle_websocket_upgrade(self) -> None:
        self._stop_looking()  # this connection has another protocol from now on
        super().handle_websocket_upgrade()

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
    """From `open` to `close`, as often as wanted; the daemon has one. `settings` say where it is open from the start,
    and with which certificate; `directory` is for a certificate of its own."""

    def __init__(
        self, config: uvicorn.Config, assets: Assets, settings: WebSettings, directory: Path
    ) -> None:
        self._config = config
        self._assets = assets
        self._settings = settings
        self._directory = directory
        self._listener: socket.socket | None = None
        self._state = ServerState()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._turn = asyncio.Lock()
        self._url = ""
        self.fingerprint = ""

    async def open_at(self, place: tuple[str, int]) -> None:
        """Listen where the configuration says. Raises `listen_failed`."""
        async with self._turn:
            await in_thread(self._assets.read)
            await self._listen(*place)

    async def open(self, port: int | None) -> str:
        """Listen on the loopback, unless the door is open already. Raises `listen_failed`, `in_use`."""
        async with self._turn:
            await in_thread(self._assets.read)
            if self._listener is None:
                await self._listen_as_before(port)
            elif port not in (None, self._listener.getsockname()[1]):
                text = f"the daemon listens on {self._url} already"
                raise Error("in_use", text, "leave out --port, or run `banger ui --stop` first")
            return self._url

    async def _listen_as_before(self, port: int | None) -> None:
        """On the port that is asked for, or else on the last one, so that bookmarks and open pages go on; on a free one
        if that is taken."""
        note = self._directory / "port"
        last = await in_thread(_read_port, note) if port is None else port
        try:
            await self._listen(LOOPBACK, last)
        except Error:
            if port is not None or not last:
                raise
            await self._listen(LOOPBACK, 0)
        assert self._listener is not None
        await in_thread(_write_port, note, self._listener.getsockname()[1])

    @property
    def has_page(self) -> bool:
        return self._assets.has_page

    async def close(self) -> None:
        """Stop listening, and end the connections."""
        async with self._turn:
            listener, self._listener = self._listener, None
            if listener is None:
                return
            asyncio.get_running_loop().remove_reader(listener)
            if self._pause is not None:
                self._pause.cancel()
            for task in tuple(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            listener.close()
            await self._end_connections()
            log.info("serving no more on %s", self._url)

    async def _end_connections(self) -> None:
        for connection in tuple(self._state.connections):
            connection.shutdown()
        tasks = tuple(self._state.tasks)
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=_END_S)
            for task in left:
                task.cancel()
        for connection in tuple(self._state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()

    async def _listen(self, host: str, port: int) -> None:
        if not self._config.loaded:
            self._config.load()
        self._state = ServerState()
        self._state.default_headers = list(self._config.encoded_headers)
        tls, self.fingerprint = await in_thread(self._prepare_tls, host)
        self._listener = await in_thread(_bound, host, port)
        shown = LOOPBACK if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
        self._url = f"{'https' if tls else 'http'}://{shown}:{self._listener.getsockname()[1]}"
        self._accept(self._listener, tls)
        log.info("serving on %s %s", self._url, self.fingerprint)

    def _prepare_tls(self, host: str) -> tuple[ssl.SSLContext | None, str]:
        """Beyond the loopback, nothing is served without TLS. Blocking."""
        certificate, key = self._settings.certificate, self._settings.key
        if certificate:
            return load_tls(Path(certificate), Path(key))
        if is_loopback(host):
            return None, ""
        ours = (LOOPBACK, *(() if host in _EVERYWHERE else (host,)), *self._settings.hosts)
        names = tuple(dict.fromkeys(("localhost", *ours)))
        return load_tls(*ensure_own(self._directory, names))

    def _accept(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Take connections as they come. Connections whose handshake has not ended count, too: each has a file of this
        process. No task waits for them: a connection could be lost when it is cancelled."""
        self._pause = None
        asyncio.get_running_loop().add_reader(listener, self._take, listener, tls)

    def _take(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            log.warning("cannot take a connection: %s", exc)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener)
            self._pause = loop.call_later(_PAUSE_S, self._accept, listener, tls)
            return
        connection.setblocking(False)
        if len(self._tasks) >= CONNECTIONS_MAX:
            connection.close()
            return
        meeting = asyncio.get_running_loop().create_task(self._meet(connection, tls))
        self._tasks.add(meeting)
        meeting.add_done_callback(self._tasks.discard)
        meeting.add_done_callback(partial(_close_if_cancelled, connection))

    async def _meet(self, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        def make() -> asyncio.Protocol:
            made = DoorProtocol(config=self._config, server_state=self._state, app_state={})
            return cast("asyncio.Protocol", made)

        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                make, connection, ssl=tls, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if tls else None
            )
        except OSError as exc:  # of TLS, too
            log.debug("a client did not come in: %s", exc)
            connection.close()


def _close_if_cancelled(connection: socket.socket, meeting: asyncio.Task[None]) -> None:
    """A task that is cancelled before its first step cannot close anything itself."""
    if meeting.cancelled():
        connection.close()


def is_loopback(host: str) -> bool:
    """Whether only processes of this host reach this address. Of names, only "localhost" is known to."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_port(note: Path) -> int:
    """0 if none is noted. Blocking."""
    try:
        text = read_plain(note, 16).strip()
    except OSError:
        return 0
    port = int(text) if text.isdigit() else 0
    return port if 0 < port < 1 << 16 else 0


def _write_port(note: Path, port: int) -> None:
    """A failure is only logged: the door is open. Blocking."""
    try:
        ensure_private_directory(str(note.parent))
        write_file(note, b"%d\n" % port)
    except OSError as exc:
        log.warning("the port is not remembered: %s", exc)


def _bound(host: str, port: int) -> socket.socket:
    """Raises `listen_failed`. Blocking: it may ask for the address of a name."""
    where = f"{host}:{port}"
    hint = "choose another address or port"
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    except OSError as exc:
        raise Error("listen_failed", f"cannot listen on {where}: {exc.strerror or exc}", hint) from exc
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)
        listener.bind(address)
        listener.listen(CONNECTIONS_MAX)
        listener.setblocking(False)
    except OSError as exc:
        listener.close()
        raise Error("listen_failed", f"cannot listen on {where}: {exc.strerror or exc}", hint) from exc
    return listener
