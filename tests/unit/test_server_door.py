"""Attacks on the door: strange pages, strange names, stolen and guessed secrets, readers who want more, and clients
that hold what others need. The server is the real one, on the loopback."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger.access import browsers
from banger.access.browsers import LINK_S, LINKS_MAX, SESSION_S, SESSIONS_MAX, Browsers
from banger.access.tries import BURST, EACH_S, Tries
from banger.engine.paths import refuse_path_of_others
from banger.errors import Error
from banger.model.principal import Principal
from banger.model.settings import parse_place
from banger.server import door as door_module
from banger.server.assets import Assets
from banger.server.certificates import ensure_own, load_tls
from banger.server.door import is_loopback
from banger.server.protocol import GUARD_HEADERS
from tests.support.open_door import HANDSHAKE, OpenDoor, open_door, open_socket

WORD = {"X-Banger": "1"}
FOREIGN_ORIGINS = [
    "http://evil.example",
    "null",
    "https://{address}",
    "http://{address}.evil.example",
    "http://127.0.0.1:1",
    "http://localhost:{port}",
    "http://user@{address}",
]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[OpenDoor]:
    with open_door(tmp_path) as found:
        yield found


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


# Who is let in


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer banger_x"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "Bearer \xff"},
        {"Authorization": "Bearer " + "a" * 9000},
        {"Cookie": "banger="},
        {"Cookie": "banger=x; banger=y"},
        {"Cookie": "banger=' OR 1=1"},
        {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "Forwarded": "for=127.0.0.1"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/session", "/v1/machines", "/openapi.json", "/v1/nothing"])
def test_without_a_secret_nothing_of_the_api_answers(
    house: OpenDoor, headers: dict[str, str], path: str
) -> None:
    assert house.told("GET", path, headers) == (401, "not_logged_in")


def test_a_token_names_its_bearer_and_what_it_may_do(house: OpenDoor) -> None:
    status, headers, body = house.ask("GET", "/v1/session", bearer(house.token("ci", "read", 60)))
    told = json.loads(body)
    assert status == 200 and (told["principal"], told["way"], told["rights"]) == ("token ci", "token", "read")
    assert told["expires"] and headers["cache-control"] == "no-store"


def test_a_reader_reads_and_changes_nothing(house: OpenDoor) -> None:
    given = bearer(house.token(rights="read"))
    assert house.told("GET", "/v1/machines", given) == (200, "")
    for method, path in [
        ("POST", "/v1/operations/x/cancel"),
        ("DELETE", "/v1/machines/x"),
        ("PUT", "/v1/machines/x/files"),
    ]:
        assert house.told(method, path, given) == (403, "not_permitted")
    for path in ("/v1/machines/x/exec", "/v1/run", "/v1/machines/x/attach", "/v1/machines/x/tunnel"):
        assert house.told("GET", path, {**given, **HANDSHAKE}) == (403, "not_permitted")


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("http://127.0.0.1:8040", "http://banger.localhost:8040/login#s"),
        ("http://[::1]:8040", "http://[::1]:8040/login#s"),
        ("https://127.0.0.1:8040", "https://127.0.0.1:8040/login#s"),  # its certificate has no other name
        ("https://192.0.2.7:8040", "https://192.0.2.7:8040/login#s"),
    ],
)
def test_a_link_to_the_loopback_names_a_host_that_no_guest_has(url: str, link: str) -> None:
    assert browsers.link_at(url, "s") == link


def test_a_token_neither_makes_tokens_nor_opens_doors(house: OpenDoor) -> None:
    for given in (bearer(house.token()), {**house.logged_in(), **WORD}):
        for method, path, body in [
            ("POST", "/v1/tokens", {"name": "mine"}),
            ("GET", "/v1/tokens", None),
            ("DELETE", "/v1/tokens/t", None),
            ("POST", "/v1/ui", {}),
            ("DELETE", "/v1/ui", None),
        ]:
            assert house.told(method, path, given, body) == (403, "not_permitted")


def test_a_path_of_the_host_is_not_opened_for_a_token() -> None:
    import os

    for way in ("token", "browser"):
        with pytest.raises(Error, match="opens files"):
            refuse_path_of_others(Principal(uid=os.geteuid(), way=way, label="x"), "/etc/shadow")


def test_a_revoked_and_an_expired_token_are_worth_nothing(house: OpenDoor) -> None:
    revoked, expired = house.token("a"), house.token("b", lasts_s=0.001)
    assert house.told("GET", "/v1/session", bearer(revoked)) == (200, "")
    house.call(lambda: house.access.tokens.revoke("a"))
    time.sleep(0.01)
    for secret in (revoked, expired):
        assert house.told("GET", "/v1/session", bearer(secret)) == (401, "not_logged_in")


def test_a_browser_that_came_with_a_token_leaves_with_it(house: OpenDoor) -> None:
    _, headers, _ = house.ask("POST", "/login", WORD, {"token": house.token("a", "read")})
    cookie = {"Cookie": headers["set-cookie"].partition(";")[0]}
    assert house.told("POST", "/v1/operations/x/cancel", {**cookie, **WORD}) == (403, "not_permitted")
    assert house.told("GET", "/v1/session", cookie) == (200, "")
    house.call(lambda: house.access.tokens.revoke("a"))
    assert house.told("GET", "/v1/session", cookie) == (401, "not_logged_in")


def test_the_store_has_no_secret(house: OpenDoor, tmp_path: Path) -> None:
    secret = house.token()
    assert house.told("GET", "/v1/session", bearer(secret)) == (200, "")
    files = [path.read_bytes() for path in tmp_path.iterdir() if path.is_file()]
    assert files and not any(
        secret.encode() in raw or secret.removeprefix("banger_").encode() in raw for raw in files
    )
    (token,) = house.call(house.access.tokens.all)
    assert token.used and not hasattr(token, "secret")


# Links and sessions


def test_a_link_logs_one_browser_in_once(house: OpenDoor) -> None:
    link = house.link()
    status, headers, _ = house.ask("POST", "/login", WORD, {"link": link})
    words = [word.strip() for word in headers["set-cookie"].split(";")]
    assert status == 204 and {"HttpOnly", "SameSite=Strict", "Path=/"} <= {*words}
    assert house.told("POST", "/login", WORD, {"link": link}) == (401, "not_logged_in")
    assert house.told("GET", "/v1/machines", {"Cookie": words[0]}) == (200, "")
    assert house.told("POST", "/logout", {"Cookie": words[0], **WORD}) == (204, "")
    assert house.told("GET", "/v1/machines", {"Cookie": words[0]}) == (401, "not_logged_in")


def test_links_and_sessions_end_in_time_and_are_few() -> None:
    now = [1000.0]
    all_browsers = Browsers(lambda: now[0])
    links = [all_browsers.make_link()[0] for _ in range(LINKS_MAX + 1)]
    assert not all_browsers.follow_link(links[0]) and all_browsers.follow_link(links[1])
    now[0] += LINK_S
    assert not all_browsers.follow_link(links[2])
    cookies = [all_browsers.log_in() for _ in range(SESSIONS_MAX + 1)]
    assert all_browsers.find(cookies[0]) is None and all_browsers.find(cookies[1])
    now[0] += SESSION_S
    assert all_browsers.find(cookies[1]) is None
    assert browsers.LINK_S <= 120


def test_a_session_ends_with_the_door(house: OpenDoor) -> None:
    house.logged_in()
    link = house.link()
    house.call(house.access.browsers.end_all)
    assert house.told("POST", "/login", WORD, {"link": link}) == (401, "not_logged_in")


@pytest.mark.parametrize(
    "body",
    [None, [], {"link": 1}, {"link": ["x"]}, {"token": "\x00"}, {"x": "y"}, {"link": "a" * 5000}, "link"],
)
def test_a_malformed_log_in_is_refused(house: OpenDoor, body: Any) -> None:
    status, code = house.told("POST", "/login", WORD, body)
    assert (status, code) in {(400, "bad_request"), (401, "not_logged_in"), (413, "payload_too_large")}


# Guessing


def test_wrong_tries_are_limited_and_lock_no_bearer_out(house: OpenDoor) -> None:
    good, cookie = bearer(house.token()), house.logged_in()
    told = [house.told("GET", "/v1/session", bearer(f"banger_{n}")) for n in range(BURST)]
    assert told == [(401, "not_logged_in")] * BURST
    assert house.told("GET", "/v1/session", bearer("banger_z")) == (429, "too_many_tries")
    assert house.told("POST", "/login", WORD, {"link": house.link()}) == (429, "too_many_tries")
    for given in (good, cookie):
        assert house.told("GET", "/v1/session", given) == (200, "")


def test_an_address_gets_its_tries_back_and_few_addresses_are_remembered() -> None:
    now = [0.0]
    tries = Tries(lambda: now[0])
    for _ in range(BURST * 3):
        tries.note_wrong("a")
    assert tries.are_used_up("a") and not tries.are_used_up("b")
    now[0] += 1.5 * EACH_S
    assert not tries.are_used_up("a")
    for number in range(5000):
        tries.note_wrong(str(number))
    assert len(tries._wrong) <= 1024


# Strange pages


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "a b", "127.0.0.1:x"]
)
@pytest.mark.parametrize("path", ["/", "/login", "/v1/session"])
def test_a_strange_name_that_leads_here_is_refused(house: OpenDoor, host: str, path: str) -> None:
    """DNS rebinding: the page of the strange name is of one origin with us, and would have all we answer."""
    assert house.told("GET", path, {"Host": host, **bearer(house.token(str(abs(hash(path)))))}) == (
        403,
        "origin_refused",
    )


def test_two_names_are_refused(house: OpenDoor) -> None:
    with house.connect() as connection:
        head = f"GET / HTTP/1.1\r\nHost: {house.address}\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        assert b" 400 " in connection.recv(100)


def test_the_names_of_the_host_are_accepted(tmp_path: Path) -> None:
    with open_door(tmp_path, ("vm.lan",)) as house:
        given = bearer(house.token())
        for host in ("vm.lan", "VM.lan:8080", "localhost:99", "banger.localhost", "[::1]:8", "192.0.2.7"):
            assert house.told("GET", "/v1/session", {"Host": host, **given}) == (200, "")


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_another_page_changes_nothing_reads_nothing_and_opens_no_stream(house: OpenDoor, origin: str) -> None:
    told = {"Origin": origin.format(address=house.address, port=house.place[1])}
    for secret in (house.logged_in(), bearer(house.token())):
        for more, method, path in [
            (WORD, "POST", "/v1/operations/x/cancel"),
            ({}, "GET", "/v1/session"),
            (WORD, "POST", "/logout"),
            (HANDSHAKE, "GET", "/v1/machines/x/exec"),
        ]:
            assert house.told(method, path, {**secret, **told, **more}) == (403, "origin_refused")
    assert house.told("POST", "/login", {**told, **WORD}, {"link": house.link()}) == (403, "origin_refused")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_on_another_port_embeds_nothing_of_the_api(house: OpenDoor, site: str) -> None:
    """Ports of guests are published on the same host: for cookies, that is the same site."""
    given = {**house.logged_in(), "Sec-Fetch-Site": site}
    assert house.told("GET", "/v1/machines", given) == (403, "origin_refused")
    assert house.told("GET", "/v1/machines", {**given, "Sec-Fetch-Site": "same-origin"}) == (200, "")


def test_a_form_of_any_page_changes_nothing(house: OpenDoor) -> None:
    """A form sends no header of its own; an old browser may send no Origin."""
    cookie = house.logged_in()
    assert house.told("POST", "/v1/operations/x/cancel", cookie) == (403, "origin_refused")
    assert house.told("POST", "/logout", cookie) == (403, "origin_refused")
    assert house.told("POST", "/login", {}, {"link": house.link()}) == (403, "origin_refused")
    ours = {**cookie, **WORD, "Origin": house.url}
    assert house.told("POST", "/v1/operations/x/cancel", ours) == (404, "operation_not_found")


def test_our_own_page_opens_streams_and_one_without_a_name_does_not(house: OpenDoor) -> None:
    cookie = {**house.logged_in(), **HANDSHAKE}
    assert house.told("GET", "/v1/machines/x/exec", cookie) == (403, "origin_refused")
    assert house.ask("GET", "/v1/machines/x/exec", {**cookie, "Origin": house.url})[0] == 101
    assert house.ask("GET", "/v1/machines/x/exec", {**bearer(house.token()), **HANDSHAKE})[0] == 101


# What the page may do


def test_each_answer_forbids_what_a_page_could_be_misused_for(house: OpenDoor) -> None:
    given = bearer(house.token())
    for path, secret in [
        ("/", {}),
        ("/login", {}),
        ("/machines/a", {}),
        ("/v1/session", given),
        ("/v1/session", {}),
        ("/x.y", {}),
    ]:
        _, headers, _ = house.ask("GET", path, secret)
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "frame-ancestors 'none'" in policy
        assert "unsafe-eval" not in policy and "script-src 'unsafe-inline'" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("head", [b"nonsense\r\n\r\n", b"GET /" + b"x" * 40_000])
def test_a_refusal_before_any_request_guards_browsers_too(house: OpenDoor, head: bytes) -> None:
    with house.connect() as connection:
        connection.sendall(head)
        said = b""
        while piece := connection.recv(65536):
            said += piece
    lines = said.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert lines[0].split()[1] in ("400", "431")
    assert {f"{name}: {value}" for name, value in GUARD_HEADERS.items()} <= {*lines}


@pytest.mark.parametrize(
    "path",
    [
        "/../daemon.py",
        "/assets/..%2f..%2f..%2fdaemon.py",
        "/%2e%2e/%2e%2e/etc/passwd.txt",
        "//etc/passwd.x",
        "/assets/\\..\\x.py",
        "/x%00.js",
    ],
)
def test_no_path_leads_out_of_the_page(house: OpenDoor, path: str) -> None:
    assert house.told("GET", path)[0] in (400, 404)


def test_built_files_are_served_packed_and_kept_for_ever(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    for name, raw in [("index.html", b"page"), ("assets/a-1.js", b"plain"), ("assets/a-1.js.br", b"packed")]:
        (tmp_path / name).write_bytes(raw)
    assets = Assets()
    assets.read(tmp_path)
    packed, plain = assets.answer("/assets/a-1.js", "gzip, br"), assets.answer("/assets/a-1.js", "br;q=0")
    assert (
        packed
        and packed.headers["content-encoding"] == "br"
        and "immutable" in packed.headers["cache-control"]
    )
    assert plain and "content-encoding" not in plain.headers and "javascript" in plain.headers["content-type"]
    assert assets.answer("/assets/a-1.js.br", "") is None and assets.answer("/assets/none.js", "") is None
    for place in ("/", "/machines/web.1", "/new"):
        page = assets.answer(place, "")
        assert page and page.headers["content-length"] == "4" and page.headers["cache-control"] == "no-cache"


def test_a_fault_of_the_daemon_shows_a_stranger_nothing_of_it(house: OpenDoor) -> None:
    """The engine of these tests lacks what this verb needs, so it fails with an exception that has no name."""
    given = {**bearer(house.token()), "Banger-Request": "mine-1"}
    status, headers, body = house.ask("GET", "/v1/machines/x", given)
    assert status == 500 and headers["banger-request"] == "mine-1"
    error = json.loads(body)["error"]
    assert error["code"] == "internal" and "mine-1" in error["hint"]
    assert "Namespace" not in body.decode() and "Traceback" not in body.decode()


@pytest.mark.parametrize("given", ["a b", "x" * 65, "a\tb", "<b>", ""])
def test_an_id_that_is_none_is_replaced(house: OpenDoor, given: str) -> None:
    """It is written into logs: only an id may be."""
    _, headers, _ = house.ask("GET", "/v1/session", {**bearer(house.token()), "Banger-Request": given})
    assert re.fullmatch(r"[0-9a-f]{16}", headers["banger-request"])


# Clients that hold what others need


def test_a_head_without_end_is_cut_off(house: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    with house.connect() as connection:
        try:
            connection.sendall(b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 40_000)
        except OSError:
            pass
        assert b" 431 " in connection.recv(100)


def test_slow_and_idle_clients_are_ended_and_few(house: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module.DoorProtocol, "head_timeout_s", 1.0)
    monkeypatch.setattr(door_module.DoorProtocol, "connections_limit", 8)
    idle = [house.connect() for _ in range(20)]
    try:
        for connection in idle[:4]:
            connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        ends = [ended(connection) for connection in idle]
        assert sum(b" 503 " in end for end in ends) == 12
        assert all(end == b"" or b" 408 " in end or b" 503 " in end for end in ends)
    finally:
        for connection in idle:
            connection.close()
    deadline = time.monotonic() + 20
    while (told := house.told("GET", "/")) != (200, "") and time.monotonic() < deadline:
        time.sleep(0.05)  # a connection that was refused counts until its other end is closed, too
    assert told == (200, "")


def ended(connection: socket.socket) -> bytes:
    """All that came until the other side ended the connection."""
    found = bytearray()
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionError:
            return bytes(found)
        if not piece:
            return bytes(found)
        found += piece


def test_a_body_that_trickles_is_cut_off(house: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_BODY_LOOK_S", 0.3)
    with house.connect() as connection:
        head = f"POST /v1/operations HTTP/1.1\r\nHost: {house.address}\r\nContent-Length: 100000\r\n"
        secret = house.token()
        connection.sendall(
            f"{head.replace('operations', 'machines')}Authorization: Bearer {secret}\r\n\r\n{{".encode()
        )
        assert ended(connection) == b""


def test_a_stream_may_be_silent(house: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What limits bodies limits no WebSocket, and no answer that takes its time."""
    monkeypatch.setattr(door_module, "_BODY_LOOK_S", 0.1)
    with house.connect() as connection:
        lines = {"Host": house.address, **bearer(house.token()), **HANDSHAKE}
        head = "".join(f"{key}: {value}\r\n" for key, value in lines.items())
        connection.sendall(f"GET /v1/machines/x/exec HTTP/1.1\r\n{head}\r\n".encode())
        assert b" 101 " in connection.recv(4096)
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_who_is_refused_is_not_read(house: OpenDoor) -> None:
    with house.connect() as connection:
        head = f"POST /v1/machines HTTP/1.1\r\nHost: {house.address}\r\nContent-Length: 99999999\r\n\r\n"
        connection.sendall(head.encode())
        assert b" 401 " in ended(connection)


def test_a_client_that_reads_nothing_holds_nobody_up(house: OpenDoor) -> None:
    silent = [house.connect() for _ in range(30)]
    try:
        for connection in silent:
            connection.sendall(f"GET /login HTTP/1.1\r\nHost: {house.address}\r\n\r\n".encode() * 50)
        done: list[tuple[int, str]] = []
        asking = threading.Thread(target=lambda: done.append(house.told("GET", "/login")))
        asking.start()
        asking.join(60)
        assert done == [(200, "")]
    finally:
        for connection in silent:
            connection.close()


# The door itself


def test_the_door_closes_and_opens_again(house: OpenDoor) -> None:
    with house.connect() as held:
        house.do(house.door.close())
        assert ended(held) == b""
        with pytest.raises(ConnectionRefusedError):
            house.connect()
    assert house.do(house.door.open(house.place[1])) == house.url
    with pytest.raises(Error, match="already") as caught:
        house.do(house.door.open(1 if house.place[1] != 1 else 2))
    assert caught.value.code == "in_use"
    assert house.told("GET", "/") == (200, "")


def test_a_port_of_another_is_not_taken(house: OpenDoor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        house.do(house.door.close())
        with pytest.raises(Error) as caught:
            house.do(house.door.open(other.getsockname()[1]))
        assert caught.value.code == "listen_failed"


def test_the_end_of_a_token_ends_its_streams(house: OpenDoor) -> None:
    for name in ("a", "b"):
        secret = house.token(name)
        with house.connect() as connection:
            lines = {"Host": house.address, "Authorization": f"Bearer {secret}", **HANDSHAKE}
            head = "".join(f"{key}: {value}\r\n" for key, value in lines.items())
            connection.sendall(f"GET /v1/machines/x/exec HTTP/1.1\r\n{head}\r\n".encode())
            assert b" 101 " in connection.recv(4096)
            house.call(lambda name=name: house.access.revoke(name))
            ended(connection)


# TLS


@pytest.fixture
def far(house: OpenDoor) -> OpenDoor:
    """The door as it is for other hosts."""
    house.do(house.door.close())
    house.do(house.door.open_at(("0.0.0.0", 0)))
    house.url = house.do(house.door.open(None))
    house.address = house.url.partition("//")[2]
    house.place = ("127.0.0.1", int(house.address.rpartition(":")[2]))
    return house


def tls_to(house: OpenDoor) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(house.connect(), server_hostname="127.0.0.1")


def test_beyond_the_loopback_there_is_no_word_without_tls(far: OpenDoor) -> None:
    assert far.url.startswith("https://")
    with far.connect() as plain:
        plain.sendall(f"GET /login HTTP/1.1\r\nHost: {far.address}\r\n\r\n".encode())
        assert b"HTTP" not in ended(plain)
    with tls_to(far) as connection:
        found = connection.getpeercert(binary_form=True)
        assert found and hashlib.sha256(found).digest().hex(":").upper() == far.door.fingerprint
        body = json.dumps({"link": far.link()})
        head = f"POST /login HTTP/1.1\r\nHost: {far.address}\r\nX-Banger: 1\r\nOrigin: {far.url}\r\n"
        connection.sendall(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = ended(connection).decode().lower()
        assert " 204 " in answer and "set-cookie: __host-banger=" in answer and "; secure" in answer


def test_an_old_tls_is_refused(far: OpenDoor) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with far.connect() as connection, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(connection)


def test_handshakes_that_never_end_are_few_and_short(far: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    far.do(far.door.close())
    monkeypatch.setattr(door_module, "HANDSHAKE_TIMEOUT_S", 2.0)
    monkeypatch.setattr(door_module, "CONNECTIONS_MAX", 8)
    far.do(far.door.open_at(("0.0.0.0", far.place[1])))
    idle = [far.connect() for _ in range(30)]
    try:
        assert all(ended(connection) == b"" for connection in idle)
        with tls_to(far):
            pass
    finally:
        for connection in idle:
            connection.close()


def test_a_certificate_of_its_own_is_kept_and_made_again_for_other_names(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in ensure_own(tmp_path / "web", ("localhost", "127.0.0.1"))]
    assert [path.read_bytes() for path in ensure_own(tmp_path / "web", ("localhost",))] == first
    certificate, key = ensure_own(tmp_path / "web", ("vm.lan",))
    assert certificate.read_bytes() != first[0] and key.stat().st_mode & 0o777 == 0o600
    certificate.write_text("damaged")
    with pytest.raises(Error) as caught:
        load_tls(certificate, key)
    assert caught.value.code == "listen_failed"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("127.9.9.9", True), ("localhost", True)]
    + [(host, False) for host in ("0.0.0.0", "::", "192.168.0.1", "localhost.evil", "vm.lan")],
)
def test_what_is_a_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:8040", ("127.0.0.1", 8040)), ("[::1]:1", ("::1", 1)), ("vm.lan:65535", ("vm.lan", 65535))],
)
def test_a_place_to_listen(text: str, expected: tuple[str, int]) -> None:
    assert parse_place(text) == expected


@pytest.mark.parametrize(
    "text", ["8040", ":8040", "h:", "h:0", "h:65536", "h:x", "::1:80", "[h]:80", "h:\uff11", "[::1]"]
)
def test_what_is_no_place_to_listen(text: str) -> None:
    with pytest.raises(Error) as caught:
        parse_place(text)
    assert caught.value.code == "bad_config"


# The socket


def test_on_the_socket_no_page_of_any_origin_is_heard(tmp_path: Path) -> None:
    """A program that passes connections on to the socket must not open it to browsers."""
    with open_socket(tmp_path) as path:
        for origin in ("http://evil.example", "null", "http://localhost"):
            for more in ("", "".join(f"{name}: {value}\r\n" for name, value in HANDSHAKE.items())):
                head = f"GET /v1/machines/x/exec HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\n{more}\r\n"
                assert b" 403 " in said_on(path, head)
        head = "GET /v1/session HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = said_on(path, head)
        assert b'"way":"socket"' in answer and b"banger-version: 1\r\n" in answer.lower()


def said_on(path: str, head: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(path)
        connection.sendall(head.encode())
        return ended(connection)


# The port


def test_the_door_opens_at_its_last_port_again_unless_that_is_taken(tmp_path: Path) -> None:
    with open_door(tmp_path) as first:
        (_, last) = first.place
    with open_door(tmp_path) as again:
        assert again.place[1] == last
    with socket.create_server(("127.0.0.1", last)), open_door(tmp_path) as elsewhere:
        other = elsewhere.place[1]
        assert other != last
        with pytest.raises(Error) as refused:  # what is asked for by number is not replaced
            elsewhere.do(elsewhere.door.close())
            elsewhere.do(elsewhere.door.open(last))
        assert refused.value.code == "listen_failed"
    assert (tmp_path / "web/port").read_text() == f"{other}\n"


@pytest.mark.parametrize("note", ["", "0", "65536", "-1", "8040x", "9" * 5000, "\N{SUPERSCRIPT TWO}"])
def test_a_damaged_note_of_the_port_means_any_port(tmp_path: Path, note: str) -> None:
    (tmp_path / "web").mkdir(mode=0o700)
    (tmp_path / "web/port").write_text(note)
    with open_door(tmp_path) as house:
        assert (tmp_path / "web/port").read_text() == f"{house.place[1]}\n"


def test_a_daemon_without_a_web_page_says_so(tmp_path: Path) -> None:
    assets = Assets()
    (tmp_path / "built").mkdir()
    assets.read(tmp_path / "built")
    assert not assets.has_page
    (tmp_path / "built/index.html").write_text("<!doctype html>")
    assets.read(tmp_path / "built")
    assert assets.has_page
