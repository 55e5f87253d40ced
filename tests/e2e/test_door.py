"""The API over TCP, from the command line to the store and back: a daemon, a machine, a browser's cookie, a token."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.home import IMAGE, Home

pytestmark = pytest.mark.e2e


def ask(url: str, method: str, path: str, headers: dict[str, str], body: Any = None) -> tuple[int, Any, str]:
    """Status, the JSON of the answer, and the cookie that came with it."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        raw = answer.read()
        cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
        is_json = answer.getheader("Content-Type", "").startswith("application/json")
        return answer.status, json.loads(raw) if is_json else raw.decode(), cookie
    finally:
        connection.close()


def test_a_browser_and_a_token_see_the_machine_that_runs_and_no_secret_is_left(
    own_home: Home, name: str
) -> None:
    own_home.text("run", "-d", "--name", name, IMAGE, "--", "sleep", "1000")
    opened = own_home.json("ui", "--no-open")
    url, link = opened["url"], opened["link"].partition("#")[2]
    assert ask(url, "GET", "/v1/machines", {})[0] == 401

    status, _, cookie = ask(url, "POST", "/login", {"X-Banger": "1"}, {"link": link})
    assert status == 204 and ask(url, "POST", "/login", {"X-Banger": "1"}, {"link": link})[0] == 401
    status, machines, _ = ask(url, "GET", "/v1/machines", {"Cookie": cookie})
    assert status == 200 and [one["name"] for one in machines] == [name]
    changing = {"Cookie": cookie, "X-Banger": "1", "Origin": url, "Banger-Request": "from-a-test"}
    status, begun, _ = ask(url, "POST", f"/v1/machines/{name}/stop", changing, {"grace_s": 0})
    assert status == 202
    shown = json.loads(own_home.text("operation", "show", begun["id"], "--json"))
    assert (shown["request"], shown["principal"]) == ("from-a-test", "browser")

    reader = own_home.text("token", "create", "reader", "--read-only", "--expires", "1h").strip()
    given = {"Authorization": f"Bearer {reader}"}
    status, metrics, _ = ask(url, "GET", "/metrics", given)
    assert status == 200 and "banger_machine_start_seconds_count" in metrics
    assert ask(url, "DELETE", f"/v1/machines/{name}", given)[0] == 403
    assert own_home.json("token", "list")[0]["used"]
    own_home.text("token", "revoke", "reader")
    assert ask(url, "GET", "/v1/machines", given)[0] == 401

    own_home.text("ui", "--stop")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((urlsplit(url).hostname or "", urlsplit(url).port or 0), timeout=60)
    secrets = [link, cookie.partition("=")[2], reader]
    files = [path.read_bytes() for path in own_home.state.iterdir() if path.is_file()]
    assert files and not [secret for secret in secrets if any(secret.encode() in raw for raw in files)]
