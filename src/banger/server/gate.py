"""Who comes in: each request gets its principal here, or is refused before other code sees it.

On the socket, the kernel says who asks. Over TCP, a token or the cookie of a session says so, and all that browsers
could be made to do by strange pages is refused (`server.origins`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from banger.access.access import Access
from banger.access.tokens import principal_of_token
from banger.errors import Error
from banger.model.asked import ASKED, Asked, request_id
from banger.model.encoding import encode_json
from banger.model.principal import Principal
from banger.server.assets import Assets
from banger.server.calls import PRINCIPAL, check_may_write, read_limited
from banger.server.origins import check_host, check_origin, one_of, refuse_pages, values_of
from banger.server.protocol import GUARD_HEADERS, PEER_UID

COOKIE = "banger"
REQUEST_HEADER = b"banger-request"
SAFE_COOKIE = "__Host-banger"
_LOGIN_LIMIT_BYTES = 4096
_LOGIN_TIMEOUT_S = 10.0
_API = ("/v1/", "/openapi.json", "/metrics")


class Gate:
    """In front of the application. `names` are names of this host beside its addresses."""

    def __init__(self, app: ASGIApp, access: Access, assets: Assets, names: tuple[str, ...] = ()) -> None:
        self._app = app
        self._access = access
        self._assets = assets
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        uid = scope.get("state", {}).get(PEER_UID)
        try:
            if uid is not None:
                refuse_pages(scope["headers"])
                answer = None
                scope["state"][PRINCIPAL] = Principal(uid=uid)
            else:
                send = _guarded(send)
                answer = await self._admit(scope, receive)
        except Error as exc:
            answer = _refusal(exc)
        if answer is None:
            asked = Asked(
                request=request_id(one_of(scope["headers"], REQUEST_HEADER)),
                principal=scope["state"][PRINCIPAL].short,
            )
            ASKED.set(asked)
            send = _named(send, asked.request)
        if answer is None and uid is None:
            with self._access.visits.during(scope["state"][PRINCIPAL].label):
                await self._app(scope, receive, send)
        elif answer is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await answer(scope, receive, send)
        else:
            await _refuse_socket(answer, send)

    async def _admit(self, scope: Scope, receive: Receive) -> Response | None:
        """Over TCP: an answer of our own, or None after the principal is in the scope."""
        headers, path = scope["headers"], scope["path"]
        host = one_of(headers, b"host")
        check_host(host, self._names)
        is_safe = scope["scheme"] in ("https", "wss")
        scheme = "https" if is_safe else "http"
        if path.startswith(_API):
            check_origin(headers, scheme, host)
            principal = scope["state"][PRINCIPAL] = self._recognise(scope, scheme, host)
            if scope["type"] == "websocket":
                check_may_write(principal)  # each stream changes something, or takes what others would read
            return None
        if scope["type"] != "http":
            raise Error("not_found", f"no stream has the path {path}", "see /openapi.json")
        if scope["method"] == "POST" and path in ("/login", "/logout"):
            check_origin(headers, scheme, host)
            _require_word(headers)
            secret = self._cookie(headers, is_safe)
            return (
                _logged_out(self._access, secret, is_safe)
                if path == "/logout"
                else await self._log_in(Request(scope, receive), is_safe)
            )
        if scope["method"] not in ("GET", "HEAD"):
            raise Error("method_not_allowed", f"this path does not allow {scope['method']}")
        answer = self._assets.answer(path, ",".join(values_of(headers, b"accept-encoding")))
        if answer is None:
            raise Error("not_found", f"the path {path} does not exist", "see /openapi.json")
        return answer

    def _recognise(self, scope: Scope, scheme: str, host: str) -> Principal:
        """Who sends a request to the API. Raises `not_logged_in`, `too_many_tries`, `origin_refused`."""
        headers = scope["headers"]
        given = one_of(headers, b"authorization")
        if given:
            kind, _, secret = given.partition(" ")
            return self._bearer(secret.strip() if kind.lower() == "bearer" else "", scope)
        secret = self._cookie(headers, scheme == "https")
        login = self._access.browsers.find(secret) if secret else None
        if login is None or (login.token and not self._access.tokens.is_valid(login.token)):
            raise _not_logged_in()
        if scope["type"] == "websocket":
            check_origin(headers, scheme, host, required=True)
        elif scope["method"] not in ("GET", "HEAD"):
            _require_word(headers)
        return msgspec.structs.replace(login.principal, expires=_written(login.expires))

    def _bearer(self, secret: str, scope: Scope) -> Principal:
        """The bearer of a token. A valid token is always accepted: wrong ones from the same address do not lock its
        bearer out, and 256 bits cannot be guessed."""
        token = self._access.tokens.find(secret)
        if token is not None:
            return msgspec.structs.replace(principal_of_token(token), expires=token.expires)
        raise self._wrong(scope)

    def _wrong(self, scope: Scope) -> Error:
        """The error for a wrong secret, which is counted."""
        tries, address = self._access.tries, _address_of(scope)
        if tries.are_used_up(address):
            return _too_many()
        tries.note_wrong(address)
        return _not_logged_in()

    async def _log_in(self, request: Request, is_safe: bool) -> Response:
        if self._access.tries.are_used_up(_address_of(request.scope)):
            raise _too_many()
        given = await _read_login(request)
        link, token = given.get("link", ""), given.get("token", "")
        if link and self._access.browsers.follow_link(link):
            secret = self._access.browsers.log_in()
        elif token and (found := self._access.tokens.find(token)) is not None:
            who = principal_of_token(found)
            secret = self._access.browsers.log_in(
                Principal(uid=os.geteuid(), way="browser", rights=who.rights, label=who.label), found.name
            )
        else:
            raise self._wrong(request.scope)
        return Response(status_code=204, headers={"Set-Cookie": _cookie(secret, is_safe)})

    def _cookie(self, headers: list[tuple[bytes, bytes]], is_safe: bool) -> str:
        """The secret in the cookie of a session; empty without one. Of several cookies of the name, none counts."""
        name = SAFE_COOKIE if is_safe else COOKIE
        pairs = (p.strip().partition("=") for line in values_of(headers, b"cookie") for p in line.split(";"))
        found = [value for key, _, value in pairs if key == name]
        return found[0] if len(found) == 1 else ""


async def _read_login(request: Request) -> dict[str, str]:
    try:
        async with asyncio.timeout(_LOGIN_TIMEOUT_S):
            raw = await read_limited(request, _LOGIN_LIMIT_BYTES)
        return msgspec.json.decode(raw, type=dict[str, str])
    except TimeoutError as exc:
        raise Error("head_timeout", f"the log-in did not come within {_LOGIN_TIMEOUT_S:g} s") from exc
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ClientDisconnect) as exc:
        raise Error(
            "bad_request", "this is not a log-in", 'send {"link": "..."} or {"token": "..."}'
        ) from exc


def _logged_out(access: Access, secret: str, is_safe: bool) -> Response:
    access.browsers.log_out(secret)
    return Response(status_code=204, headers={"Set-Cookie": _cookie("", is_safe) + "; Max-Age=0"})


def _cookie(secret: str, is_safe: bool) -> str:
    name = SAFE_COOKIE if is_safe else COOKIE
    return f"{name}={secret}; Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if is_safe else "")


def _require_word(headers: list[tuple[bytes, bytes]]) -> None:
    """The header that only a script of our own page can send. Raises `origin_refused`."""
    if one_of(headers, b"x-banger") != "1":
        hint = "send the header `X-Banger: 1`, or use a token"
        raise Error("origin_refused", "a browser's request that changes something needs a header", hint)


def _address_of(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _not_logged_in() -> Error:
    return Error(
        "not_logged_in",
        "this needs a valid token, or a browser that is logged in",
        "run `banger ui` for a log-in link, or `banger token create NAME` for a token",
    )


def _too_many() -> Error:
    return Error("too_many_tries", "too many wrong tokens or links came from this address", "wait a minute")


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refusal(error: Error) -> Response:
    """A refused client may still send a body: the daemon does not wait for it."""
    headers = {"Connection": "close"}
    if error.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = encode_json({"error": error.as_dict()})
    return Response(body, error.http_status, headers, "application/json")


async def _refuse_socket(answer: Response, send: Send) -> None:
    """Refuse a handshake with a plain answer."""
    await send(
        {
            "type": "websocket.http.response.start",
            "status": answer.status_code,
            "headers": [pair for pair in answer.raw_headers if pair[0] != b"connection"],
        }
    )
    await send({"type": "websocket.http.response.body", "body": bytes(answer.body)})


def _named(send: Send, request: str) -> Send:
    """Tell the client the id of its request."""

    async def named(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.accept"):
            told = [*message.get("headers", ()), (REQUEST_HEADER, request.encode())]
            message = {**message, "headers": told}
        await send(message)

    return named


def _guarded(send: Send) -> Send:
    """Add the headers that each answer over TCP has; an answer's own come first."""

    async def guarded(message: Message) -> None:
        if message["type"].endswith("response.start"):
            message = {**message, "headers": _with_headers(message.get("headers", ()), GUARD_HEADERS)}
        await send(message)

    return guarded


def _with_headers(present: Any, more: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    found = [(bytes(name).lower(), bytes(value)) for name, value in present]
    names = {name for name, _ in found}
    wanted = ((name.lower().encode(), value.encode()) for name, value in more.items())
    return found + [pair for pair in wanted if pair[0] not in names]
