"""The function that carries out each verb. The type checker checks that request and result are those of the table.

A handler is `async (engine, principal, request)`; the handler of an upload gets the stream of bytes, too. Its result is
a plain value: a struct, an `Operation` that continues, an iterator of bytes or structs, or a `Path`, whose contents are
the answer. It raises `Error`, and knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from banger.api.verb import Again, Download, Upload, Verb
from banger.engine.engine import Engine
from banger.model.principal import Principal

Q = TypeVar("Q", bound=Struct)
R = TypeVar("R")

Handler = Callable[[Engine, Principal, Q], Awaitable[R | Again[R]]]
UploadHandler = Callable[[Engine, Principal, Q, AsyncIterator[bytes]], Awaitable[R]]
DownloadHandler = Callable[[Engine, Principal, Q], Awaitable[AsyncIterator[bytes] | Path]]
H = TypeVar("H", bound=Callable[..., Awaitable[Any]])

HANDLERS: dict[str, Callable[..., Awaitable[Any]]] = {}


def carries_out(verb: Verb[Q, R]) -> Callable[[Handler[Q, R]], Handler[Q, R]]:
    return _under(verb.name)


def takes_in(verb: Upload[Q, R]) -> Callable[[UploadHandler[Q, R]], UploadHandler[Q, R]]:
    return _under(verb.name)


def gives_out(verb: Download[Q]) -> Callable[[DownloadHandler[Q]], DownloadHandler[Q]]:
    return _under(verb.name)


def _under(name: str) -> Callable[[H], H]:
    def keep(handler: H) -> H:
        assert name not in HANDLERS, name
        HANDLERS[name] = handler
        return handler

    return keep


async def begun(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes. This waits for the first ones, so that an error before them is raised now."""
    return _rejoin(await anext(chunks, b""), chunks)


async def _rejoin(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
