"""The OpenAPI document, made from the API's table."""

from __future__ import annotations

from typing import Any, get_args, get_origin

import msgspec

from banger import __version__
from banger.api.table import SESSIONS, VERBS
from banger.api.verb import Download, Feed, Session, Upload, Verb
from banger.errors import CODES
from banger.model.operation import ErrorBody

# Codes that every verb may answer: of any request, of HTTP itself, and over TCP.
OF_ALL = (
    *("bad_request", "bad_spec", "not_permitted", "payload_too_large"),
    *("insufficient_disk", "store_failed", "store_damaged", "internal"),
)
OF_HTTP = (
    "not_found",
    "method_not_allowed",
    "head_too_large",
    "head_timeout",
    "too_many_connections",
    "cancelled",
)
OVER_TCP = ("not_logged_in", "origin_refused", "too_many_tries")
_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "From `banger token create`"},
    "browser": {"type": "apiKey", "in": "cookie", "name": "banger", "description": "From a log-in link"},
}
_REF = "#/components/schemas/{name}"
Schema = dict[str, Any]


def describe_api() -> Schema:
    """An OpenAPI 3.1 document as plain data."""
    shapes = _Shapes()
    paths: dict[str, Schema] = {}
    for verb in VERBS:
        paths.setdefault(verb.documented_path, {})[verb.method.lower()] = _operation(verb, shapes)
    for session in SESSIONS:
        paths.setdefault(session.path, {})["get"] = _session(session, shapes)
    return {
        "openapi": "3.1.0",
        "info": {"title": "banger", "version": __version__},
        "paths": paths,
        "components": {"schemas": shapes.components, "securitySchemes": _SCHEMES},
        "security": [{"token": []}, {"browser": []}, {}],
    }


class _Shapes:
    """The JSON schemas of all types of the table; named types are in one place."""

    def __init__(self) -> None:
        kinds: list[Any] = [ErrorBody]
        for request in (*(verb.request for verb in VERBS), *(session.request for session in SESSIONS)):
            kinds += [request, *(field.type for field in msgspec.structs.fields(request))]
        for verb in VERBS:
            if isinstance(verb, Feed):
                kinds += verb.lines
            elif not isinstance(verb, Download):
                kinds.append(verb.result)
        schemas, self.components = msgspec.json.schema_components(kinds, ref_template=_REF)
        self._of = dict(zip(map(_key, kinds), schemas, strict=True))
        requests = {one.request.__name__ for one in VERBS if not one.body and not _is_whole_body(one)}
        self.components = {name: s for name, s in self.components.items() if name not in requests}

    def of(self, kind: Any) -> Schema:
        found: Schema = self._of[_key(kind)]
        return found


def _key(kind: Any) -> str:
    return repr((get_origin(kind), get_args(kind), kind))


def _is_whole_body(verb: Verb[Any, Any]) -> bool:
    """Whether the request and the JSON body are the same struct."""
    return verb.takes_json and len(verb.in_body) == len(verb.fields)


def _operation(verb: Verb[Any, Any], shapes: _Shapes) -> Schema:
    described: Schema = {
        "summary": verb.summary,
        "operationId": verb.call_name,
        "parameters": [
            *_path_parameters(verb),
            *_parameters(verb, "query", {name: name for name in verb.query}, shapes),
            *_parameters(verb, "header", verb.header, shapes),
        ],
        "responses": {**_successes(verb, shapes), **_errors(verb.errors)},
    }
    if isinstance(verb, Upload):
        described["requestBody"] = {"required": True, "content": {verb.takes: {"schema": _binary()}}}
    elif verb.takes_json:
        described["requestBody"] = {
            "required": not verb.body_is_optional,
            "content": {"application/json": {"schema": _body(verb, shapes), **_example(verb)}},
        }
    return described


def _successes(verb: Verb[Any, Any], shapes: _Shapes) -> Schema:
    """The responses that are no errors, by status."""
    success = _success(verb, shapes)
    found = {str(204 if verb.result is type(None) else verb.status): success}
    if "idempotency_key" in verb.header:
        found["200"] = {**success, "description": "What an earlier request with this key made, as it is now"}
    return found


def _session(session: Session[Any], shapes: _Shapes) -> Schema:
    return {
        "summary": f"{session.summary} (WebSocket, see docs/api.md)",
        "operationId": session.name.replace(".", "_"),
        "parameters": _path_parameters(session),
        "responses": {"101": {"description": "A stream begins"}, **_errors(session.errors)},
    }


def _success(verb: Verb[Any, Any], shapes: _Shapes) -> Schema:
    described: Schema = {"description": verb.summary}
    if isinstance(verb, Feed):
        described["content"] = {verb.media: {"schema": {"anyOf": [shapes.of(kind) for kind in verb.lines]}}}
    elif isinstance(verb, Download):
        described["content"] = {verb.media: {"schema": _binary()}}
    elif verb.result is not type(None):
        described["content"] = {verb.media: {"schema": shapes.of(verb.result)}}
    return described


def _body(verb: Verb[Any, Any], shapes: _Shapes) -> Schema:
    fields = verb.fields
    if verb.body:
        return shapes.of(verb.body_type)
    if _is_whole_body(verb):
        return shapes.of(verb.request)
    schema: Schema = {
        "type": "object",
        "properties": {name: shapes.of(fields[name].type) for name in verb.in_body},
        "additionalProperties": False,
    }
    required = [name for name in verb.in_body if fields[name].required]
    return schema | ({"required": required} if required else {})


def _example(verb: Verb[Any, Any]) -> Schema:
    body = {name: value for name, value in verb.example.items() if name in verb.in_body}
    return {"example": body.get(verb.body) if verb.body else body} if body else {}


def _path_parameters(one: Verb[Any, Any] | Session[Any]) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, **_value(one, name)}
        for name in one.in_path
    ]


def _parameters(verb: Verb[Any, Any], place: str, names: Any, shapes: _Shapes) -> list[Schema]:
    fields = verb.fields
    return [
        {
            "name": names[name],
            "in": place,
            "required": fields[name].required,
            "schema": shapes.of(fields[name].type),
            **_value(verb, name),
        }
        for name in names
    ]


def _value(one: Verb[Any, Any] | Session[Any], name: str) -> Schema:
    return {"example": one.example[name]} if name in one.example else {}


def _binary() -> Schema:
    return {"type": "string", "format": "binary"}


def _errors(codes: tuple[str, ...]) -> Schema:
    """The responses of a verb's errors: one for each status, which names its codes and has an example of each."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*codes, *OF_ALL, *OF_HTTP, *OVER_TCP)):
        by_status.setdefault(CODES[code][0], []).append(code)
    return {str(status): _error_response(by_status[status]) for status in sorted(by_status)}


def _error_response(codes: list[str]) -> Schema:
    error = {
        "allOf": [{"$ref": _REF.format(name="ErrorBody")}],
        "properties": {"code": {"enum": codes}},
    }
    wrapped = {"type": "object", "required": ["error"], "properties": {"error": error}}
    body = {"message": "what happened", "hint": "what to do about it", "details": {}}
    examples = {code: {"value": {"error": {"code": code, **body}}} for code in codes}
    return {
        "description": f"An error: {', '.join(codes)}",
        "content": {"application/json": {"schema": wrapped, "examples": examples}},
    }
