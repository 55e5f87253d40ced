"""Requests to a running Firecracker: HTTP with JSON on its Unix socket, a connection for each.

A process that a guest may have taken over answers, so an answer has bounds in size and time, and nothing is done but
what the caller asks of it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from banger.errors import Error
from banger.host import own_sockets

_HEAD_BYTES = 8192
_BODY_BYTES = 256 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,8}) *\r\n", re.IGNORECASE)
_FAULT_CHARACTERS = 400
USUAL_S = 10.0

Body = Mapping[str, Any]


class Refused(Error):
    """Firecracker's own words why it does not do something; `words` has them alone."""

    def __init__(self, machine: str, what: str, words: str) -> None:
        super().__init__("vmm_failed", f"Firecracker of {machine} refused {what}: {words}")
        self.words = words


class Api:
    """The requests to one Firecracker; `machine` is for messages. Holds no connection."""

    def __init__(self, machine: str, socket: Path) -> None:
        self._machine = machine
        self._socket = socket

    async def get(self, path: str) -> dict[str, Any]:
        return await self._ask("GET", path, None, USUAL_S)

    async def put(self, path: str, body: Body, timeout_s: float = USUAL_S) -> None:
        await self._ask("PUT", path, body, timeout_s)

    async def patch(self, path: str, body: Body, timeout_s: float = USUAL_S) -> None:
        await self._ask("PATCH", path, body, timeout_s)

    async def _ask(self, method: str, path: str, body: Body | None, timeout_s: float) -> dict[str, Any]:
        """Raises `Refused`, `vmm_failed` if there is no answer, `timeout`."""
        what = f"{method} {path}"
        try:
            async with asyncio.timeout(timeout_s):
                status, said = await self._exchange(plan_request(method, path, body))
        except TimeoutError as exc:
            raise Error(
                "timeout", f"Firecracker of {self._machine} did not answer {what} within {timeout_s:g} s"
            ) from exc
        except OSError as exc:
            raise Error(
                "vmm_failed", f"Firecracker of {self._machine} does not answer {what}: {exc.strerror or exc}"
            ) from exc
        answer = read_body(said)
        if 200 <= status < 300:
            return answer
        words = str(answer.get("fault_message", "")) or f"status {status}"
        raise Refused(self._machine, what, printable(words))

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        connection = await own_sockets.dial(self._socket, follow=False)
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_HEAD_BYTES)
        try:
            writer.write(request)
            await writer.drain()
            head = await _read_head(reader)
            status, length = read_head(head)
            return status, await _read_exactly(reader, length)
        finally:
            writer.close()


def plan_request(method: str, path: str, body: Body | None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"\r\n" + content


def read_head(head: bytes) -> tuple[int, int]:
    """Status and length of the body. Raises OSError for what is no answer of HTTP, or for a body that is too long."""
    status = _STATUS.match(head)
    if status is None:
        raise OSError("its answer is not HTTP")
    length = _LENGTH.search(head)
    size = int(length[1]) if length else 0
    if size > _BODY_BYTES:
        raise OSError(f"its answer has {size} bytes")
    return int(status[1]), size


def read_body(said: bytes) -> dict[str, Any]:
    """The object in an answer; empty if there is none."""
    try:
        answer = json.loads(said) if said else {}
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def printable(text: str) -> str:
    """One line of bounded length."""
    shown = "".join(c if c.isprintable() else " " for c in text[:_FAULT_CHARACTERS])
    return shown.strip()


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
        raise OSError("its answer has no end") from exc


async def _read_exactly(reader: asyncio.StreamReader, size: int) -> bytes:
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as exc:
        raise OSError("its answer is cut short") from exc
