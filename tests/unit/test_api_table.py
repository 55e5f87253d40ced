"""The API's table is whole, and all that is made from it is up to date."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from banger import AsyncClient, Client
from banger.api.generate import written_files
from banger.api.table import SESSIONS, VERBS
from banger.api.verb import Session, Upload, Verb, type_name
from banger.engine.surface import HANDLERS
from banger.errors import CODES
from banger.server.openapi import describe_api

ALL: list[Verb[Any, Any] | Session[Any]] = [*VERBS, *SESSIONS]
NAMED = [pytest.param(one, id=one.name) for one in VERBS]


@pytest.mark.parametrize("path", written_files(), ids=lambda path: path.name)
def test_what_is_made_from_the_table_is_what_is_kept(path: Any) -> None:
    """`python -m banger.api.generate` makes it so."""
    assert path.read_text(encoding="utf-8") == written_files()[path]


def test_every_verb_has_a_handler_and_every_handler_a_verb() -> None:
    assert set(HANDLERS) == {verb.name for verb in VERBS}


def test_names_and_routes_are_unique() -> None:
    assert len({one.name for one in ALL}) == len(ALL)
    assert len({(verb.method, verb.documented_path) for verb in VERBS}) == len(VERBS)


@pytest.mark.parametrize("verb", NAMED)
def test_each_field_travels_in_one_place(verb: Verb[Any, Any]) -> None:
    fields = verb.request.__struct_fields__
    places = [*verb.in_path, *verb.query, *verb.header, *verb.in_body]
    assert sorted(places) == sorted(fields)
    if verb.method in ("GET", "DELETE") or isinstance(verb, Upload):
        assert not verb.takes_json
    assert not verb.body or verb.in_body == (verb.body,)
    assert verb.status != 202 or type_name(verb.result).startswith("Operation[")


@pytest.mark.parametrize("one", [pytest.param(one, id=one.name) for one in ALL])
def test_errors_exist_and_the_example_is_a_request(one: Verb[Any, Any] | Session[Any]) -> None:
    assert set(one.errors) <= set(CODES)
    asked = msgspec.convert(dict(one.example), one.request)
    assert isinstance(asked, one.request)
    required = any(field.required for field in msgspec.structs.fields(one.request))
    assert bool(one.example) or not required


@pytest.mark.parametrize("verb", NAMED)
def test_summaries_are_one_line_without_an_end(verb: Verb[Any, Any]) -> None:
    assert re.fullmatch(r"[A-Z][^|\n]*[^.|\n]", verb.summary)


def test_the_openapi_document_has_every_verb_and_no_open_end() -> None:
    document = msgspec.json.decode(msgspec.json.encode(describe_api()))
    methods = {(m.upper(), path) for path, item in document["paths"].items() for m in item}
    assert methods == {(v.method, v.documented_path) for v in VERBS} | {("GET", s.path) for s in SESSIONS}
    names = set(document["components"]["schemas"])
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in names


def test_a_verb_with_a_key_answers_a_request_that_is_sent_again_with_200() -> None:
    paths = msgspec.json.decode(msgspec.json.encode(describe_api()))["paths"]
    again = {
        (path, method)
        for path, methods in paths.items()
        for method, described in methods.items()
        if {"200", "201"} <= described["responses"].keys()
    }
    assert again == {("/v1/machines", "post")}


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [r for value in node.values() for r in references(value)]
    if isinstance(node, list):
        return [r for value in node for r in references(value)]
    return []


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_both_clients_have_every_verb_where_its_name_says(client: Any) -> None:
    made = client("/not/there", start=False)
    for one in ALL:
        room, _, method = one.name.partition(".")
        if one.name not in (
            "machines.attach",
            "machines.tunnel",
            "machines.applet",
        ):  # interactive streams: for the command line
            assert callable(getattr(getattr(made, room), method)), one.name
