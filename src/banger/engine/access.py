"""Verbs of access over TCP."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from banger import __version__
from banger.access.browsers import link_at
from banger.api import access as verbs
from banger.api.verb import Nothing
from banger.engine.engine import Engine
from banger.engine.verbs import carries_out
from banger.host.thread import in_thread
from banger.model.access import Caller, Doorway, NewToken, Token
from banger.model.principal import Principal


@carries_out(verbs.WHOAMI)
async def whoami(engine: Engine, principal: Principal, request: Nothing) -> Caller:
    return Caller(
        principal=await in_thread(lambda: principal.name),
        way=principal.way,
        rights=principal.rights,
        version=__version__,
        expires=principal.expires,
    )


@carries_out(verbs.OPEN)
async def open_door(engine: Engine, principal: Principal, request: verbs.OpenDoor) -> Doorway:
    door = engine.access.door
    url = await door.open(request.port)
    secret, expires = engine.access.browsers.make_link()
    return Doorway(
        url=url,
        link=link_at(url, secret),
        link_expires=_written(expires),
        fingerprint=door.fingerprint,
        has_page=door.has_page,
    )


@carries_out(verbs.CLOSE)
async def close_door(engine: Engine, principal: Principal, request: Nothing) -> None:
    engine.access.browsers.end_all()
    await engine.access.door.close()


@carries_out(verbs.LIST_TOKENS)
async def list_tokens(engine: Engine, principal: Principal, request: Nothing) -> list[Token]:
    return engine.access.tokens.all()


@carries_out(verbs.CREATE_TOKEN)
async def create_token(engine: Engine, principal: Principal, request: verbs.CreateToken) -> NewToken:
    return engine.access.tokens.create(request.name, request.rights, request.lasts_s)


@carries_out(verbs.REVOKE_TOKEN)
async def revoke_token(engine: Engine, principal: Principal, request: verbs.OneToken) -> None:
    engine.access.revoke(request.name)


def _written(seconds: float) -> str:
    """A time of `time.time`, as in RFC 3339."""
    moment = datetime.fromtimestamp(min(seconds, time.time() + 10 * 366 * 86400), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
