"""The API is what docs/api.md says, and the OpenAPI document is whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from banger.server.openapi import describe_api
from banger.server.routes import CALLS, STREAMS

DOCUMENT = Path(__file__).parents[2] / "docs/api.md"


def documented() -> set[tuple[str, str]]:
    """(method, path) of each row; a row may name several of both, and short forms of a path."""
    found: set[tuple[str, str]] = set()
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 4 or not re.fullmatch(r"[A-Z, ]+|WebSocket", cells[1]):
            continue
        previous = ""
        for path in re.findall(r"`([^`?]+)(?:\?[^`]*)?`", cells[2]):
            full = path if path.startswith(("/v1", "/openapi")) else previous.rsplit("/", 1)[0] + path
            previous = full
            found |= {(method.strip(), full) for method in cells[1].split(",")}
    return found


def test_every_route_is_documented_and_every_documented_one_exists() -> None:
    routes = {(call.method, call.documented_path) for call in CALLS}
    routes |= {("WebSocket", path) for path in STREAMS} | {("GET", "/openapi.json")}
    assert routes == documented()


def test_the_openapi_document_has_every_method_and_no_open_end() -> None:
    document = msgspec.json.decode(msgspec.json.encode(describe_api()))
    methods = {(m.upper(), path) for path, item in document["paths"].items() for m in item}
    assert methods == {(c.method, c.documented_path) for c in CALLS} | {("GET", path) for path in STREAMS}
    names = set(document["components"]["schemas"])
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in names


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [r for value in node.values() for r in references(value)]
    if isinstance(node, list):
        return [r for value in node for r in references(value)]
    return []


def test_operation_ids_are_unique() -> None:
    ids = [call.handler.__name__ for call in CALLS]
    assert len(ids) == len(set(ids))
