"""Handlers of /v1/operations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import StreamingResponse

from banger.machines.operations import RunningOperation
from banger.machines.parts import Parts
from banger.model.operation import Operation


async def list_operations(parts: Parts, request: Request, body: None) -> list[Operation]:
    return parts.operations.list()


async def show_operation(parts: Parts, request: Request, body: None) -> Operation:
    return parts.operations.get(request.path_params["id"]).operation


async def watch_operation(parts: Parts, request: Request, body: None) -> StreamingResponse:
    running = parts.operations.get(request.path_params["id"])
    return StreamingResponse(_lines(running), media_type="application/x-ndjson")


async def _lines(running: RunningOperation) -> AsyncIterator[bytes]:
    async for progress in running.events():
        yield msgspec.json.encode(progress) + b"\n"
    yield msgspec.json.encode({"operation": running.operation}) + b"\n"


async def cancel_operation(parts: Parts, request: Request, body: None) -> Operation:
    return await parts.operations.cancel(request.path_params["id"])


async def finish(parts: Parts, running: RunningOperation) -> str:
    """What an operation made whose request waits for it. It is cancelled when the request is."""
    try:
        return await running.result()
    except BaseException:
        await asyncio.shield(parts.operations.cancel(running.operation.id))
        raise
