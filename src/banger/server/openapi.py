"""The OpenAPI document, made from the route table and the structs."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from banger import __version__
from banger.model.operation import ErrorBody
from banger.server.calls import Call
from banger.server.routes import CALLS, STREAMS

_PARAMETER = re.compile(r"\{(\w+)\}")
_REF = "#/components/schemas/{name}"


def describe_api() -> dict[str, Any]:
    """An OpenAPI 3.1 document as plain data."""
    kinds = [kind for call in CALLS for kind in (call.body, call.answer) if kind is not None]
    schemas, components = msgspec.json.schema_components([*kinds, ErrorBody], ref_template=_REF)
    remaining = iter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        body = next(remaining) if call.body is not None else None
        answer = next(remaining) if call.answer is not None else None
        paths.setdefault(call.documented_path, {})[call.method.lower()] = _operation(call, body, answer)
    for path, (_, summary) in STREAMS.items():
        paths.setdefault(path, {})["get"] = {
            "summary": f"{summary} (WebSocket, see docs/api.md)",
            "parameters": _path_parameters(path),
            "responses": {"101": {"description": "A stream begins"}},
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "banger", "version": __version__},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(call: Call, body: Any, answer: Any) -> dict[str, Any]:
    status = 204 if call.answer is None and call.media == "application/json" else call.status
    success: dict[str, Any] = {"description": call.summary}
    if answer is not None:
        success["content"] = {call.media: {"schema": answer}}
    elif call.media != "application/json":
        success["content"] = {call.media: {"schema": {"type": "string", "format": "binary"}}}
    described: dict[str, Any] = {
        "summary": call.summary,
        "operationId": call.handler.__name__,
        "parameters": [*_path_parameters(call.documented_path), *_query_parameters(call)],
        "responses": {str(status): success, "default": _error_response()},
    }
    if body is not None:
        described["requestBody"] = {
            "required": not call.body_optional,
            "content": {"application/json": {"schema": body}},
        }
    return described


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(path)
    ]


def _query_parameters(call: Call) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "in": place, "description": one.summary, "schema": {"type": one.kind}}
        for place, some in (("query", call.query), ("header", call.headers))
        for one in some
    ]


def _error_response() -> dict[str, Any]:
    wrapped = {"type": "object", "properties": {"error": {"$ref": _REF.format(name="ErrorBody")}}}
    return {"description": "An error", "content": {"application/json": {"schema": wrapped}}}
