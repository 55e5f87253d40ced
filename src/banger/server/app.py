"""The ASGI application, as a value: `create_app(engine)`."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from banger.api.table import SESSIONS, VERBS
from banger.api.verb import Session, Verb
from banger.engine.engine import Engine
from banger.errors import Error
from banger.metrics.tally import Tally
from banger.model.asked import bug
from banger.model.encoding import encode_json
from banger.server import streams
from banger.server.calls import principal_of, respond
from banger.server.metrics import MEDIA, Exposition
from banger.server.openapi import describe_api

log = logging.getLogger("banger.api")


def create_app(engine: Engine, tally: Tally | None = None) -> Starlette:
    """What requests take is counted in `tally`."""
    tally = tally or Tally()
    routes: list[BaseRoute] = [Route("/openapi.json", _show_openapi, methods=["GET"])]
    routes.append(Route("/metrics", _metrics(Exposition(engine, tally)), methods=["GET"]))
    routes += [_route(verb, engine, tally) for verb in VERBS]
    routes += [WebSocketRoute(one.path, _stream(one, engine, tally)) for one in SESSIONS]
    return Starlette(
        routes=routes,
        exception_handlers={Error: _on_error, HTTPException: _on_http, Exception: _on_bug},
    )


def _route(verb: Verb[Any, Any], engine: Engine, tally: Tally) -> Route:
    async def endpoint(request: Request) -> Response:
        begun = time.monotonic()
        try:
            answer = await respond(verb, engine, request)
        except Error as exc:
            tally.count("request_errors", verb=verb.name, code=exc.code)
            raise
        if not verb.waits:  # it takes as long as a machine runs
            tally.observe("request", time.monotonic() - begun, verb=verb.name)
        return answer

    return Route(verb.path, endpoint, methods=[verb.method], name=verb.name)


def _stream(session: Session[Any], engine: Engine, tally: Tally) -> Callable[[WebSocket], Awaitable[None]]:
    async def endpoint(socket: WebSocket) -> None:
        await streams.serve(session, engine, socket, tally)

    return endpoint


def _metrics(exposition: Exposition) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        principal_of(request)
        return Response(await exposition.text(), media_type=MEDIA)

    return endpoint


async def _show_openapi(request: Request) -> Response:
    return Response(encode_json(describe_api()), media_type="application/json")


async def _on_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Error)
    return error_response(exc)


async def _on_http(request: Request, exc: Exception) -> Response:
    """Errors of the router, as errors of banger."""
    assert isinstance(exc, HTTPException)
    if exc.status_code == 405:
        return error_response(Error("method_not_allowed", f"this path does not allow {request.method}"))
    return error_response(
        Error("not_found", f"the path {request.url.path} does not exist", "see /openapi.json")
    )


async def _on_bug(request: Request, exc: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=exc)
    return error_response(bug(exc))


def error_response(error: Error) -> Response:
    body = encode_json({"error": error.as_dict()})
    return Response(body, error.http_status, media_type="application/json")
