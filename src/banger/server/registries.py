"""Handlers of /v1/registries."""

from __future__ import annotations

from starlette.requests import Request

from banger.machines.parts import Parts
from banger.model.image import Login, LoginRequest, LogoutRequest


async def log_in(parts: Parts, request: Request, body: LoginRequest) -> Login:
    from banger.images.registry.login import login  # with it come the HTTP and TLS libraries

    where = await login(body.registry, body.username, body.password, parts.paths.config, body.insecure)
    return Login(registry=body.registry, kept_in=where)


async def log_out(parts: Parts, request: Request, body: LogoutRequest) -> Login:
    from banger.images.registry.login import logout

    done = await logout(body.registry)
    return Login(registry=done.registry, removed=done.removed, elsewhere=[*done.elsewhere])
