"""What a route is: data that both the application and the OpenAPI document are made from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from banger.errors import Error
from banger.machines.parts import Parts
from banger.model.command import ExecRequest
from banger.model.machine import MachineSpec, RunRequest
from banger.model.octets import ESCAPE, text_of

BODY_LIMIT_BYTES = 1024 * 1024
# Of a body with a command in it: all arguments that a kernel takes, with each of their bytes escaped.
COMMAND_LIMIT_BYTES = 16 * 1024 * 1024
# In these a U+0000 may stand for a byte.
_WITH_COMMAND = (MachineSpec, ExecRequest, RunRequest)


@dataclass(frozen=True)
class Query:
    """A parameter of the query, or a header; `kind` is its JSON type."""

    name: str
    kind: str
    summary: str


Handler = Callable[[Parts, Request, Any], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One method on one path. `answer` None: no body; `media` other than JSON: a stream; `headers`: those that mean
    something here."""

    method: str
    path: str
    summary: str
    handler: Handler
    body: type | None = None
    body_optional: bool = False
    answer: Any = None
    status: int = 200
    media: str = "application/json"
    query: tuple[Query, ...] = ()
    headers: tuple[Query, ...] = ()

    @property
    def documented_path(self) -> str:
        """Without the router's own notes (a name may have slashes in it)."""
        return self.path.replace(":path}", "}")


async def respond(call: Call, parts: Parts, request: Request) -> Response:
    """Read the body as the call says, run its handler, write what it gives."""
    body = await _read_body(call, request)
    result = await call.handler(parts, request, body)
    if isinstance(result, Response):
        return result
    if call.answer is None:
        return Response(status_code=204 if call.status == 200 else call.status)
    return json_response(result, call.status)


def json_response(result: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(result), status, media_type="application/json")


async def _read_body(call: Call, request: Request) -> object:
    if call.body is None:
        return None
    limit_bytes = COMMAND_LIMIT_BYTES if call.body in _WITH_COMMAND else BODY_LIMIT_BYTES
    raw = await read_limited(request, limit_bytes)
    if not raw and call.body_optional:
        return call.body()
    return decode(raw, call.body)


def decode(raw: bytes | str, kind: Any) -> Any:
    """JSON to a struct. Raises `bad_request` for what is no JSON, `bad_spec` for what does not fit."""
    try:
        value = msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as exc:
        raise _misfit(exc) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Error("bad_request", f"the body is no JSON: {exc}") from exc
    if b"\\u0000" in (raw.encode() if isinstance(raw, str) else raw):
        _refuse_bytes(msgspec.to_builtins(value))
    return value


def _misfit(exc: msgspec.ValidationError, name: str = "") -> Error:
    """`at` in the details is where in the body it is, as a JSON path, or the parameter."""
    where = str(exc).partition(" - at `")[2].rstrip("`") or f"$.{name}"
    message = f"{name}: {exc}" if name else str(exc)
    return Error("bad_spec", message, "see /openapi.json for what is expected", {"at": where})


def _refuse_bytes(value: object) -> None:
    """Only a command of a guest is bytes. Raises `bad_request`."""
    if isinstance(value, str) and ESCAPE in value:
        raise Error(
            "bad_request",
            f"{value!r} is no UTF-8: only commands and paths of a guest may be such bytes",
            "give it another name",
        )
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, member in members:
        if name != "command":
            _refuse_bytes(member)


async def read_limited(request: Request, limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise Error("payload_too_large", f"a body has at most {limit_bytes} bytes")
    return bytes(body)


async def stream_body(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises `cancelled` when whoever sends it goes away."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as exc:
        raise Error("cancelled", "whoever sent this went away before its end") from exc


async def stream_answer(chunks: AsyncIterator[bytes], media: str) -> StreamingResponse:
    """An answer of bytes as they come; an error before the first of them still becomes a status."""
    first = await anext(chunks, b"")
    return StreamingResponse(_rejoin(first, chunks), media_type=media)


async def _rejoin(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


def query_int(request: Request, name: str, default: int | None, low: int, high: int) -> int | None:
    raw = request.query_params.get(name)
    if raw is None:
        return default
    if not raw.isascii() or not raw.isdigit() or len(raw) > 12 or not low <= int(raw) <= high:
        raise Error("bad_request", f"{name}={raw!r}: a number from {low} to {high} is expected")
    return int(raw)


def query_bool(request: Request, name: str) -> bool:
    raw = request.query_params.get(name, "false")
    if raw not in ("true", "false"):
        raise Error("bad_request", f"{name}={raw!r}: true or false is expected")
    return raw == "true"


def query_text(request: Request, name: str) -> str:
    raw = request.query_params.get(name, "")
    if not raw or "\0" in raw:
        raise Error("bad_request", f"the parameter {name} is missing")
    return raw


def query_path(request: Request) -> str:
    """The parameter `path`, of a guest's file. Bytes that are no UTF-8 come as they are."""
    query = parse_qs(request.scope["query_string"].decode("latin-1"), errors="surrogateescape")
    raw = query.get("path", [""])[-1]
    if not raw or "\0" in raw:
        raise Error("bad_request", "the parameter path is missing")
    return text_of(raw)


def query_fitting(request: Request, name: str, kind: Any) -> str:
    """A text that fits a type of the model, empty where there is none. Raises `bad_spec`."""
    raw = request.query_params.get(name, "")
    try:
        return str(msgspec.convert(raw, kind)) if raw else ""
    except msgspec.ValidationError as exc:
        raise _misfit(exc, name) from exc
