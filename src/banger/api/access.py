"""Access over TCP: requests and verbs. All but `access.whoami` are for users of the daemon's socket alone: a token can
neither make tokens nor let others in."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from banger.api.verb import Nothing, Request, Verb
from banger.model.access import Caller, Doorway, NewToken, Token
from banger.model.principal import Rights

_LABEL = r"^[A-Za-z0-9][A-Za-z0-9_.-]*\Z"


class OpenDoor(Request):
    """`port` is a port of the loopback; without it, the last one, or any that is free."""

    port: Annotated[int, Meta(ge=1, le=65535)] | None = None


class CreateToken(Request):
    """`rights` "read" allows no request that changes something. `lasts_s` is the time in seconds until the token
    expires; without it, the token never expires."""

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=_LABEL)]
    rights: Rights = "write"
    lasts_s: Annotated[float, Meta(gt=0, le=10 * 366 * 86400)] | None = None


class OneToken(Request):
    name: str


# fmt: off
WHOAMI = Verb(
    name="access.whoami", summary="Who the daemon takes you for, and what you may do", method="GET", path="/v1/session",
    request=Nothing, result=Caller,
)
OPEN = Verb(
    name="access.open", summary="Listen on the loopback for browsers, and make a log-in link", method="POST",
    path="/v1/ui", request=OpenDoor, result=Doorway, errors=("listen_failed", "in_use"), is_local=True,
    example={"port": 8040},
)
CLOSE = Verb(
    name="access.close", summary="Stop listening for browsers, and end their sessions", method="DELETE",
    path="/v1/ui", request=Nothing, result=type(None), errors=("listen_failed",), is_local=True,
)
LIST_TOKENS = Verb(
    name="tokens.list", summary="All tokens, without their secrets", method="GET", path="/v1/tokens",
    request=Nothing, result=list[Token], is_local=True,
)
CREATE_TOKEN = Verb(
    name="tokens.create", summary="Make a token; no later answer has its secret", method="POST",
    path="/v1/tokens", request=CreateToken, result=NewToken, status=201,
    errors=("name_taken", "too_many_tokens"), is_local=True,
    example={"name": "ci", "rights": "read", "lasts_s": 86400},
)
REVOKE_TOKEN = Verb(
    name="tokens.revoke", summary="Revoke a token", method="DELETE", path="/v1/tokens/{name}",
    request=OneToken, result=type(None), errors=("token_not_found",), is_local=True, example={"name": "ci"},
)
VERBS = (WHOAMI, OPEN, CLOSE, LIST_TOKENS, CREATE_TOKEN, REVOKE_TOKEN)
