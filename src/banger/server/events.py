"""Handler of /v1/events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import StreamingResponse

from banger.errors import Error
from banger.machines.events import Wish
from banger.machines.parts import Parts
from banger.server.calls import query_bool, query_int

_HIGHEST = 999_999_999_999
_encoder = msgspec.json.Encoder()


async def read_events(parts: Parts, request: Request, body: None) -> StreamingResponse:
    wish = Wish(
        after=query_int(request, "after", None, 0, _HIGHEST),
        since=_moment(request.query_params.get("since", "")),
        machine=_name_of(parts, request.query_params.get("machine", "")),
        follow=query_bool(request, "follow"),
    )
    return StreamingResponse(_lines(parts, wish), media_type="application/x-ndjson")


async def _lines(parts: Parts, wish: Wish) -> AsyncIterator[bytes]:
    async for page in parts.journal.read(wish):
        yield _encoder.encode_lines(page)


def _name_of(parts: Parts, machine: str) -> str:
    """Events have names; one that is gone is known by its name alone."""
    try:
        return parts.registry.find(machine).name if machine else ""
    except Error:
        return machine


def _moment(text: str) -> str:
    """RFC 3339 as records write it. Raises `bad_request`."""
    if not text:
        return ""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("it has no offset from UTC")
        utc = moment.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise Error(
            "bad_request", f"since={text[:64]!r}: {exc}", 'write it like "2026-01-31T12:00:00Z"'
        ) from exc
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
