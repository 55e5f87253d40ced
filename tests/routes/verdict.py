"""Whether an answer is what the API promises: no failure of the daemon itself, a status and a body that /openapi.json
has for the verb, and nothing of the daemon's inside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import schemathesis
from schemathesis.checks import CheckFunction
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import banger
from tests.routes.sending import Way

# Failures that are not the daemon's: of the place that a request named, of the host's means, of a machine that ended.
NOT_OURS = {
    *("download_failed", "registry_error", "tls_failed", "insufficient_memory", "insufficient_disk"),
    *("unsupported", "too_many_operations", "agent_lost", "timeout"),
}
_INSIDE = (b"Traceback (most recent", b'File "', b".py", str(banger.__path__[0]).encode())
_CHECKS: list[CheckFunction] = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_LINES = "application/x-ndjson"
# What each answer over TCP says to browsers.
_GUARDS = {"x-content-type-options": "nosniff", "cache-control": "no-store", "referrer-policy": "no-referrer"}


def faults(case: schemathesis.Case[Any], answer: schemathesis.Response, way: Way, home: str) -> Iterator[str]:
    """What is wrong with the answer, a line or more each. `home` is the directory of the daemon's home."""
    code = code_of(answer)
    if answer.status_code >= 500 and code not in NOT_OURS:
        yield f"status {answer.status_code} {code}"
    checks = _CHECKS
    if _LINES in answer.headers.get("content-type", [""])[0]:
        checks = [check for check in _CHECKS if check is not response_schema_conformance]
    try:
        case.validate_response(answer, checks=checks)
    except FailureGroup as exc:
        yield str(exc)
    if answer.status_code >= 400:
        yield from (f"the answer has {one!r}" for one in _INSIDE if one in answer.content)
        asked = f"{answer.request.path_url} {answer.request.body!r}"
        if way.token and home.encode() in answer.content and home not in asked:
            yield "the answer names the daemon's home to a bearer of a token"
    for name, value in _GUARDS.items():
        if way.token and answer.headers.get(name) != [value]:
            yield f"the header {name} is {answer.headers.get(name)}"


def code_of(answer: schemathesis.Response) -> str:
    """The code of the error in the answer; empty if there is none."""
    try:
        return str(json.loads(answer.content)["error"]["code"]) if answer.status_code >= 400 else ""
    except (ValueError, KeyError, TypeError):
        return "no error of the API"
