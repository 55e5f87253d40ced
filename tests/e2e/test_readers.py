"""A token or a session that may only read, at every route of the API's table: it looks at everything, and changes
nothing. The requests are made from the table, so a verb that is added is tried, too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import pytest

from banger.api.table import SESSIONS, VERBS
from banger.api.verb import Session, Verb
from banger.client.sync import Client
from tests.support.home import IMAGE, Home, wait_until
from tests.support.open_door import HANDSHAKE

pytestmark = pytest.mark.e2e
# A look at what is there, or at what is not.
LOOKED = {200, 404}
WAIT_S = 2


@contextmanager
def asked(
    url: str, method: str, target: str, headers: dict[str, str], body: object, timeout_s: float
) -> Iterator[Any]:
    """The answer of one request, whose body is not read."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)
    try:
        raw = json.dumps(body) if body is not None else None
        connection.request(method, target, raw, headers)
        yield connection.getresponse()
    finally:
        connection.close()


def target_of(verb: Verb[Any, Any] | Session[Any], known: dict[str, str]) -> str:
    """The path and the query, with what is known to be there in the place of the example's."""
    values = {**verb.example, **{name: one for name, one in known.items() if name in verb.example}}
    path = verb.path.replace(":path}", "}")
    for name in verb.in_path:
        path = path.replace("{" + name + "}", quote(str(values[name]), safe=""))
    asked_for = getattr(verb, "query", ())
    query = {n: json.dumps(v) if isinstance(v, bool) else v for n, v in values.items() if n in asked_for}
    for name in ("follow", "also"):  # no end, and no such image
        query.pop(name, None)
    return path + ("?" + urlencode(query) if query else "")


def known_of(verb: Verb[Any, Any] | Session[Any], home: Home, machine: str) -> dict[str, str]:
    """Things that are there, by the fields that name them."""
    room = verb.name.partition(".")[0]
    known = {"machine": machine, "network": "shop", "volume": "data", "path": "/etc"}
    if room == "machines":
        known["id"] = "1"  # the main command
    elif room == "images":
        known["name"] = IMAGE
    elif room == "kernels":
        known["name"] = home.json("kernel", "list")[0]["name"]
    elif room == "operations":
        known["id"] = home.json("operation", "list")[0]["id"]
    elif room == "templates" and (found := home.json("template", "list")):
        known["id"] = found[0]["id"]
    return known


def events_of(client: Client, home: Home) -> list[tuple[str, str]]:
    """Without those of the machine that packs an image."""
    ours = {f"machine/{machine['name']}" for machine in home.json("ps", "-a")}
    found = [(event.kind, event.target) for event in client.system.events()]
    return [one for one in found if not one[1].startswith("machine/") or one[1] in ours]


def state_of(home: Home) -> list[Any]:
    """All that a request could change."""
    with Client(home.json("system", "info")["socket"], start=False) as client:
        rooms = (
            client.machines,
            client.images,
            client.kernels,
            client.catalogs,
            client.networks,
            client.volumes,
        )
        listed: list[Any] = [room.list() for room in rooms]
        operations = {(one.id, one.state) for one in client.operations.list()}
        return [*listed, client.snapshots.list(), operations, events_of(client, home)]


def _facts(state: list[Any]) -> list[tuple[str, Any]]:
    """Single facts, so that a difference is short."""
    plain = msgspec.to_builtins(state)
    return [
        (f"{number} {key}", value)
        for number, room in enumerate(plain)
        for at, one in enumerate(room)
        for key, value in (one.items() if isinstance(one, dict) else [(str(at), one)])
    ]


def test_who_may_only_read_looks_at_everything_and_changes_nothing(own_home: Home, name: str) -> None:
    own_home.text("network", "create", "shop")
    own_home.text("volume", "create", "data")
    own_home.text("secret", "set", "db-password", stdin=b"x")
    own_home.text("run", "-d", "--name", name, "--network", "shop", IMAGE, "--", "sleep", "1000")
    own_home.text("run", "-d", "--name", "other", IMAGE, "--", "sleep", "1000")
    own_home.text("stop", "-t", "0", "other")  # an operation to look at
    url = own_home.json("ui", "--no-open")["url"]
    secret = own_home.text("token", "create", "reader", "--read-only").strip()
    token = {"Authorization": f"Bearer {secret}"}
    with asked(url, "POST", "/login", {"X-Banger": "1"}, {"token": secret}, 60) as answer:
        assert answer.status == 204
        cookie = {"Cookie": answer.getheader("Set-Cookie").partition(";")[0], "X-Banger": "1", "Origin": url}
    before = state_of(own_home)
    wrong: list[object] = []
    looked = set()
    for verb in VERBS:
        known = known_of(verb, own_home, name)
        body = {n: v for n, v in verb.example.items() if n in verb.in_body} if verb.takes_json else None
        body = verb.example[verb.body] if verb.body else body
        for given in (token, cookie):
            try:
                wait_s = WAIT_S if verb.waits else 60
                with asked(url, verb.method, target_of(verb, known), given, body, wait_s) as answer:
                    status, raw = answer.status, answer.read(4096)
            except TimeoutError:
                assert verb.waits, verb.name
                status, raw = 200, b""  # it was let in, and waits
            if verb.method == "GET" and not verb.is_local:
                looked |= {verb.name} if status == 200 else set()
                if status not in LOOKED:
                    wrong.append((verb.name, status, raw))
            elif status != 403 or json.loads(raw)["error"]["code"] != "not_permitted":
                wrong.append((verb.name, status, raw))
    for session in SESSIONS:
        for given in (token, cookie):
            target = target_of(session, known_of(session, own_home, name))
            with asked(url, "GET", target, {**given, **HANDSHAKE}, None, 60) as answer:
                if answer.status != 403:
                    wrong.append((session.name, answer.status, answer.read(4096)))
    assert not wrong
    # To pack an image, a machine reads it, which goes when the client leaves.
    wait_until(lambda: len(own_home.json("ps", "-a")) == 2, 60, "only our machines are there")
    after = state_of(own_home)
    assert [one for one in _facts(after) if one not in _facts(before)] == []
    assert len(_facts(after)) == len(_facts(before))
    looks = {verb.name for verb in VERBS if verb.method == "GET" and not verb.is_local}
    assert {name for name in looks - looked if not name.startswith(("snapshots.", "templates."))} == set()
