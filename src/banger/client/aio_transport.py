"""Requests on asyncio: the counterpart of `transport`, which blocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from banger.client.http1 import AnswerReader, encode_chunk, refuse
from banger.client.patience import Patience
from banger.client.transport import (
    ANSWER_LIMIT,
    LINE_LIMIT,
    READ_SIZE,
    Body,
    error_of,
    is_foreign,
    prepare_head,
    require_life,
)
from banger.client.way import Way


class Connection(NamedTuple):
    """A connection to the daemon; `way` is that of a connection to a door."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    way: Way | None = None

    @property
    def place(self) -> object:
        """Where `require_life` asks."""
        return self.way or self.writer.get_extra_info("peername")


Connect = Callable[[], Awaitable[Connection]]


class AsyncAnswer:
    """An answer whose head has arrived. Owns its connection; the end of `chunks` closes it."""

    def __init__(self, connection: Connection, parser: AnswerReader, patience: Patience) -> None:
        if parser.head is None:
            raise ValueError("an answer needs its head")
        self.status = parser.head.status
        self.headers = parser.head.headers
        self._connection = connection
        self._parser = parser
        self.patience = patience

    def close(self) -> None:
        self._connection.writer.close()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, in pieces as they arrive."""
        try:
            while True:
                piece = self._parser.take()
                if piece:
                    yield piece
                if self._parser.done:
                    return
                self._parser.feed(await receive(self._connection, self.patience))
        finally:
            self.close()

    async def read(self, limit: int = ANSWER_LIMIT) -> bytes:
        """The whole body, of at most `limit` bytes."""
        body = bytearray()
        async for piece in self.chunks():
            body += piece
            if len(body) > limit:
                self.close()
                raise refuse(f"an answer of more than {limit} bytes")
        return bytes(body)

    async def lines(self) -> AsyncIterator[bytes]:
        """The lines of the body, as they arrive (NDJSON)."""
        rest = b""
        async for chunk in self.chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in filter(None, whole):
                yield line
            if len(rest) > LINE_LIMIT:
                raise refuse("an endless line")
        if rest:
            yield rest

    async def checked(self) -> AsyncAnswer:
        """The answer itself. Raises the error that it contains."""
        if is_foreign(self.status):
            self.close()
            raise refuse("it leads elsewhere")
        if self.status >= 400:
            raise error_of(self.status, await self.read(LINE_LIMIT))
        return self


async def request(
    connection: Connection,
    method: str,
    target: str,
    body: Body,
    content_type: str,
    key: str = "",
    patience: Patience | None = None,
) -> AsyncAnswer:
    """Send one request and wait for the head of its answer. Owns `connection` from now on."""
    writer = connection.writer
    parser, patience = AnswerReader(), patience or Patience()
    try:
        head = prepare_head(method, target, body, content_type, key, connection.way)
    except BaseException:
        writer.close()
        raise
    sending = asyncio.create_task(_send(writer, head, body))
    try:
        while parser.head is None:
            parser.feed(await receive(connection, patience))
        return AsyncAnswer(connection, parser, patience)
    except BaseException:
        writer.close()
        if sending.done() and not sending.cancelled() and (failure := sending.exception()):
            raise failure from None
        raise
    finally:
        sending.cancel()


async def _send(writer: asyncio.StreamWriter, head: bytes, body: Body) -> None:
    """Send the body while the answer is awaited, so that an early answer ends the sending."""
    try:
        writer.write(head)
        if isinstance(body, bytes):
            writer.write(body)
        elif body is not None:
            pieces = iter(body)  # the iterable may read files, or wait for others
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                if piece:
                    writer.write(encode_chunk(piece))
                    await writer.drain()
            writer.write(encode_chunk(b""))
        await writer.drain()
    except (BrokenPipeError, ConnectionResetError):
        return
    except Exception:
        writer.close()
        raise


async def receive(connection: Connection, patience: Patience) -> bytes:
    """Bytes of the connection; none at its end. Raises `timeout`."""
    while True:
        try:
            async with asyncio.timeout(patience.wait_s()):
                return await connection.reader.read(READ_SIZE)
        except ConnectionResetError:
            return b""
        except TimeoutError:
            patience.check()
            await asyncio.to_thread(require_life, connection.place)
