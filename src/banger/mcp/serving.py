"""The server on its transports: standard files, or HTTP on this host's loopback with a token.

A client of the server has all that its operator allows, and all users of this host can connect to its loopback: so
each request by HTTP needs the token.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from banger.client.aio import AsyncClient
from banger.errors import Error
from banger.mcp.limits import Limits
from banger.mcp.sandboxes import Sandboxes

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer
    from starlette.types import ASGIApp, Receive, Scope, Send

End = Callable[[], Awaitable[None]]

_LOOPBACK = "127.0.0.1"


def serve(limits: Limits, scope: str, http_port: int | None, token: str) -> None:
    """Serve until the client leaves, or until SIGINT or SIGTERM. Without a `scope`, sandboxes are those of this server
    alone, and go with it. Raises `tool_missing` if the SDK of the protocol is not installed."""
    try:
        from banger.mcp.tools import make_server
    except ModuleNotFoundError as exc:
        if not (exc.name or "").startswith("mcp"):
            raise
        raise Error(
            "tool_missing", "the MCP server needs the package mcp", "pip install 'banger-vm[mcp]'"
        ) from exc
    sandboxes = Sandboxes(AsyncClient(), limits, scope or secrets.token_hex(8))
    server = make_server(sandboxes)

    async def end() -> None:
        if not scope:
            await sandboxes.delete_all()

    if http_port is None:
        asyncio.run(_serve_standard_files(server, end))
    else:
        asyncio.run(_serve_http(server, http_port, token or secrets.token_urlsafe(24), end))


def _signalled() -> asyncio.Event:
    """Set by SIGINT and SIGTERM from now on."""
    asked, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    return asked


async def _serve_standard_files(server: MCPServer, end: End) -> None:
    asked = asyncio.create_task(_signalled().wait())
    serving = asyncio.create_task(server.run_stdio_async())
    await asyncio.wait([serving, asked], return_when=asyncio.FIRST_COMPLETED)
    await end()
    if not serving.done():
        os._exit(0)  # a thread of the SDK waits for a line of stdin, and cannot be cancelled
    asked.cancel()
    await serving


async def _serve_http(server: MCPServer, port: int, token: str, end: End) -> None:
    import uvicorn

    app = WithToken(server.streamable_http_app(host=_LOOPBACK), token)
    try:
        listener = socket.create_server((_LOOPBACK, port))
    except OSError as exc:
        what = f"cannot listen on {_LOOPBACK}:{port}: {exc.strerror}"
        raise Error("port_in_use", what, "choose another port") from exc
    _signalled()  # uvicorn has its own handlers, and after its end raises the signal again for these
    place = f"http://{_LOOPBACK}:{listener.getsockname()[1]}/mcp"
    print(f"serving on {place}\nAuthorization: Bearer {token}", file=sys.stderr, flush=True)
    try:
        await uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)).serve(
            [listener]
        )
    finally:
        await end()


class WithToken:
    """Passes on requests that have the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not hmac.compare_digest(given, self._wanted):
                headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
        await self._app(scope, receive, send)
