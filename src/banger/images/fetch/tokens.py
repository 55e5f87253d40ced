"""A challenge and credentials become an Authorization header.

Only what is to be done is asked for (`pull`, or `pull,push` for a push), whatever the challenge names. The realm gets
the credentials that are kept for the registry, as the protocol wants it, but only over TLS or where plain HTTP is
allowed.
Source: distribution-spec's token authentication (docs/spec/auth/{token,oauth}.md of distribution).
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from banger.errors import Error
from banger.images.fetch.challenge import Challenge, find_challenge
from banger.images.fetch.credentials import Credentials
from banger.images.fetch.failures import denied, may_pass, nonsense
from banger.images.fetch.grants import Grant
from banger.images.fetch.lifeline import Lifeline
from banger.images.fetch.retries import passing
from banger.images.fetch.transport import Request, Transport, split_url

MAX_TOKEN_BYTES = 64 * 1024
_DEFAULT_LIFE_S = 60
_MAX_LIFE_S = 3600
_MARGIN_S = 5
_CLIENT = "banger"
# RFC 6750, b64token: the characters that a header may contain.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")

# Registry, repository, and a list for errors of places that keep credentials.
FindCredentials = Callable[[str, str, list[Error]], Awaitable[Credentials | None]]


class _TokenAnswer(Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None


def answer_challenge(
    transport: Transport,
    host: str,
    challenges: list[Challenge],
    scope: str,
    credentials: Credentials | None,
    line: Lifeline,
    elsewhere: bool = True,
) -> Grant:
    """Get the Authorization header for a challenge. Blocking. `elsewhere`: whether a token server of another origin may
    get the credentials. Raises `registry_denied`, `registry_error`, `NetworkFailure`."""
    if credentials is not None and credentials.registry_token:
        return _for_a_while(f"Bearer {_check_token(host, credentials.registry_token)}")
    bearer = find_challenge(challenges, "bearer")
    if bearer is not None:
        return _fetch_token(transport, host, bearer, scope, credentials, line, elsewhere)
    if find_challenge(challenges, "basic") is None:
        raise nonsense(host, "it asks for an unknown kind of log-in")
    if credentials is None or not credentials.username:
        raise denied(host, "clients without a log-in")
    return _for_a_while(credentials.basic())


def plan_token_request(challenge: Challenge, scope: str, credentials: Credentials | None) -> Request:
    """The request to the realm. A query has a field for each scope, a form has all in one field. Raises ValueError if
    the realm is no URL."""
    realm = split_url(challenge.parameters.get("realm", ""))
    service = challenge.parameters.get("service", "")
    if credentials is not None and credentials.identity_token:
        form = {"service": service, "scope": scope, "grant_type": "refresh_token", "client_id": _CLIENT}
        form = {name: value for name, value in form.items() if value}
        body = urlencode({**form, "refresh_token": credentials.identity_token}).encode()
        return Request(realm.geturl(), {"Content-Type": "application/x-www-form-urlencoded"}, body)
    fields = [("service", service), *(("scope", one) for one in scope.split(" "))]
    headers = {}
    if credentials is not None and credentials.username:
        headers["Authorization"] = credentials.basic()
        fields.append(("account", credentials.username))
    asked = urlencode([(name, value) for name, value in fields if value])
    query = "&".join(part for part in (realm.query, asked) if part)
    return Request(realm._replace(query=query).geturl(), headers)


def parse_token(host: str, data: bytes) -> Grant:
    """Raises `registry_error`."""
    try:
        answer = msgspec.json.decode(data, type=_TokenAnswer)
    except (msgspec.DecodeError, RecursionError):
        raise nonsense(host, "its token cannot be read") from None
    token = _check_token(host, answer.token or answer.access_token or "")
    life = min(max(answer.expires_in or _DEFAULT_LIFE_S, 0), _MAX_LIFE_S)
    return Grant(f"Bearer {token}", time.monotonic() + max(life - _MARGIN_S, life / 2))


def _fetch_token(
    transport: Transport,
    host: str,
    challenge: Challenge,
    scope: str,
    credentials: Credentials | None,
    line: Lifeline,
    elsewhere: bool,
) -> Grant:
    try:
        realm = split_url(challenge.parameters.get("realm", ""))
        if not elsewhere and not transport.is_own(host, realm):
            credentials = None
        request = plan_token_request(challenge, scope, credentials)
    except ValueError:
        raise nonsense(host, "it names no server to log in to") from None
    transport.check_way(host, realm)
    with transport.open(replace(request, sender=host), line) as answer:
        line.allow(transport.timeouts.small)
        if answer.status in (400, 401, 403):
            raise _not_accepted(host, credentials)
        if may_pass(answer.status):
            raise passing(answer, "a token")
        if answer.status != 200:
            raise nonsense(answer.host, f"status {answer.status} instead of a token")
        return parse_token(answer.host, answer.read(MAX_TOKEN_BYTES))


def _not_accepted(host: str, credentials: Credentials | None) -> Error:
    if credentials is None:
        return denied(host, "clients without a log-in")
    return Error(
        "registry_denied",
        f"{host} does not accept the user name and password",
        f"log in again: banger image login {host}",
        {"host": host},
    )


def _for_a_while(header: str) -> Grant:
    """A grant without an end gets one: the credentials may change meanwhile."""
    return Grant(header, time.monotonic() + _DEFAULT_LIFE_S)


def _check_token(host: str, token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise nonsense(host, "its token is malformed")
    return token
