"""HTTP to the engine's verbs and back: the fields of a request from path, query, headers and body; the result as JSON,
bytes or lines. Makes no decisions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import FileResponse, Response, StreamingResponse

from banger.api.verb import Again, Download, Feed, Upload, Verb
from banger.engine.engine import Engine
from banger.engine.surface import HANDLERS
from banger.errors import Error
from banger.model.encoding import encode_json
from banger.model.octets import ESCAPE, text_of
from banger.model.principal import Principal
from banger.server.misfit import SEE_OPENAPI, misfit, unknown_field
from banger.server.protocol import PEER_UID

T = TypeVar("T")
# The key in a scope's `state` of the principal, whom `server.gate` has recognised.
PRINCIPAL = "principal"
# Only these fields may contain bytes that are not UTF-8: they belong to a guest.
_OF_A_GUEST = frozenset({"command", "path"})


async def respond(verb: Verb[Any, Any], engine: Engine, request: Request) -> Response:
    """Carry out one request."""
    handler = HANDLERS[verb.name]
    principal = principal_of(request)
    check_rights(verb, principal)
    asked = await read_request(verb, request)
    if isinstance(verb, Upload):
        return _answer(verb, await handler(engine, principal, asked, stream_body(request)))
    work = handler(engine, principal, asked)
    return _answer(verb, await (_unless_left(request, work) if verb.waits else work))


async def _unless_left(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`. If the client leaves first, the work is cancelled, and this raises `cancelled`."""
    working, leaving = asyncio.ensure_future(work), asyncio.create_task(_left(request))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Error("cancelled", "the client left before the end of what it waited for")
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _answer(verb: Verb[Any, Any], result: Any) -> Response:
    if isinstance(verb, Feed):
        return StreamingResponse(_lines(result), media_type=verb.media)
    if isinstance(result, Path):
        return FileResponse(result, media_type=verb.media)
    if isinstance(verb, Download):
        return StreamingResponse(result, media_type=verb.media)
    if isinstance(result, Again):
        return json_response(result.value)
    return Response(status_code=204) if result is None else json_response(result, verb.status)


async def _lines(pages: AsyncIterator[Sequence[msgspec.Struct]]) -> AsyncIterator[bytes]:
    async for page in pages:
        yield b"".join(encode_json(one) + b"\n" for one in page)


def json_response(result: object, status: int = 200) -> Response:
    return Response(encode_json(result), status, media_type="application/json")


def check_rights(verb: Verb[Any, Any], principal: Principal) -> None:
    """Raises `not_permitted`."""
    if verb.is_local and not principal.is_local:
        hint = "run the command on the host of the daemon"
        raise Error("not_permitted", f"{verb.name} is for users of the daemon's socket alone", hint)
    if verb.method != "GET":
        check_may_write(principal)


def check_may_write(principal: Principal) -> None:
    """Raises `not_permitted` for a principal who may only read."""
    if not principal.may_write:
        hint = "use a token that was made without --read-only"
        raise Error("not_permitted", f"{principal.short} may only read", hint)


def principal_of(connection: HTTPConnection) -> Principal:
    """The user at the other end: whom `server.gate` has recognised, or whom the socket names. Raises `not_permitted` if
    there is none."""
    state = connection.scope.get("state", {})
    principal = state.get(PRINCIPAL)
    if isinstance(principal, Principal):
        return principal
    uid = state.get(PEER_UID)
    if uid is None:
        raise Error("not_permitted", "this connection does not say which user it belongs to")
    return Principal(uid=uid)


async def read_request(verb: Verb[Any, Any], request: Request) -> Any:
    """The request of the verb. Raises `bad_request` for a malformed request, `bad_spec` for values that do not fit."""
    given = {n: _fit_parameter(n, text, verb.fields[n].type) for n, text in request.path_params.items()}
    given.update(_read_query(verb, request))
    for name, header in verb.header.items():
        if header.lower() in request.headers:
            given[name] = request.headers[header]
    if verb.takes_json:
        given.update(await _read_body(verb, request))
    return fit(given, verb.request)


def _read_query(verb: Verb[Any, Any], request: Request) -> dict[str, Any]:
    """The parameters that the verb knows; a list has one for each of its values. Bytes that are not UTF-8 become text
    as in `model.octets`."""
    raw = request.scope["query_string"].decode("latin-1")
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="surrogateescape")
    except ValueError as exc:
        raise Error("bad_request", f"the query cannot be read: {exc}") from exc
    kinds = verb.fields
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in verb.query or (not value and not kinds[name].required):
            continue
        if "\0" in value:
            raise Error("bad_request", f"the parameter {name} contains a NUL")
        kind = kinds[name].type
        listed = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        if get_origin(listed) is list:
            found.setdefault(name, []).append(_fit_parameter(name, text_of(value), get_args(listed)[0]))
        else:
            found[name] = _fit_parameter(name, text_of(value), kind)
    for name in verb.query:
        if kinds[name].required and not found.get(name):
            raise Error("bad_request", f"the parameter {name} is missing")
    return found


def _fit_parameter(name: str, text: str, kind: Any) -> Any:
    if ESCAPE in text and name not in _OF_A_GUEST:
        raise _no_text(text)
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise Error("bad_request", f"{name}={text[:64]!r}: {exc}", SEE_OPENAPI) from exc


async def _read_body(verb: Verb[Any, Any], request: Request) -> dict[str, Any]:
    raw = await read_limited(request, verb.body_limit_bytes)
    if verb.body:
        return {verb.body: decode(raw, verb.body_type)}
    if not raw and verb.body_is_optional:
        return {}
    body: dict[str, Any] = decode(raw, dict[str, Any])
    for name in body:
        if name not in verb.in_body:
            raise unknown_field(name)
    return body


def fit(given: dict[str, Any], kind: Any) -> Any:
    """Decoded fields → a struct. Raises `bad_spec`."""
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as exc:
        raise misfit(exc) from exc


def decode(raw: bytes | str, kind: Any) -> Any:
    """JSON → a struct. Raises `bad_request` for malformed JSON, `bad_spec` for values that do not fit."""
    try:
        value = msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as exc:
        raise misfit(exc) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Error("bad_request", f"the body is not JSON: {exc}") from exc
    if b"\\u0000" in (raw.encode() if isinstance(raw, str) else raw):
        _refuse_bytes(msgspec.to_builtins(value))
    return value


def _refuse_bytes(value: object) -> None:
    """Refuse bytes that are not UTF-8 outside a guest's command. Raises `bad_request`."""
    if isinstance(value, str) and ESCAPE in value:
        raise _no_text(value)
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, member in members:
        if name not in _OF_A_GUEST:
            _refuse_bytes(member)


def _no_text(value: str) -> Error:
    return Error(
        "bad_request",
        f"{value!r} is not UTF-8: only commands and paths of a guest may contain other bytes",
        "choose a name in UTF-8",
    )


async def read_limited(request: Request, limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in stream_body(request):
        body += chunk
        if len(body) > limit_bytes:
            raise Error("payload_too_large", f"a body may have at most {limit_bytes} bytes")
    return bytes(body)


async def stream_body(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces as they arrive. Raises `cancelled` if the client leaves while it sends."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as exc:
        raise Error("cancelled", "the client left before the end of the body") from exc
