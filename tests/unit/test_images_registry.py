"""Challenges, settings, credential files, tokens, retries: what needs no registry."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import Error
from banger.images.fetch.challenge import Challenge, parse_challenges
from banger.images.fetch.client import Place
from banger.images.fetch.credentials import Credentials, find_credentials
from banger.images.fetch.failures import Kind, NetworkFailure, broken, for_status, refused
from banger.images.fetch.lifeline import Cut, Lifeline, on_lifeline
from banger.images.fetch.proxies import find_proxy
from banger.images.fetch.retries import FOR_BLOBS, FOR_DOCUMENTS, asked_wait_s, pause, with_retries
from banger.images.fetch.settings import Endpoint, is_loopback, load_settings
from banger.images.fetch.tokens import parse_token, plan_token_request
from banger.images.reference.reference import parse_reference


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        (
            'Bearer realm="https://a/token",service="s",scope="repository:a/b:pull,push"',
            [
                Challenge(
                    "bearer",
                    {"realm": "https://a/token", "service": "s", "scope": "repository:a/b:pull,push"},
                )
            ],
        ),
        ("Basic", [Challenge("basic")]),
        ('BASIC Realm = "a \\"b\\" c"', [Challenge("basic", {"realm": 'a "b" c'})]),
        (
            'Basic realm="x", Bearer realm=y , service=z',
            [Challenge("basic", {"realm": "x"}), Challenge("bearer", {"realm": "y", "service": "z"})],
        ),
        ("Negotiate abc==, Basic realm=x", [Challenge("negotiate"), Challenge("basic", {"realm": "x"})]),
        ('Bearer realm="a",realm="b"', [Challenge("bearer", {"realm": "a"})]),
        ('Bearer realm="never closed', [Challenge("bearer")]),
        ("", []),
        (",,, ,", []),
        ("é", []),
    ],
)
def test_challenges_are_read(header: str, challenges: list[Challenge]) -> None:
    assert parse_challenges([header]) == challenges


@given(st.text(max_size=300))
def test_any_header_is_read_in_no_time(header: str) -> None:
    begun = time.thread_time()  # a busy host delays us whatever we do
    parse_challenges([header, header * 100])
    assert time.thread_time() - begun < 20  # what is not linear takes hours


@pytest.mark.parametrize("piece", ['a="', "a=b,", ",", " ", 'a="\\', "a ", "a = "])
def test_long_headers_are_read_in_no_time(piece: str) -> None:
    begun = time.thread_time()  # a busy host delays us whatever we do
    parse_challenges([piece * 100_000])
    assert time.thread_time() - begun < 20  # what is not linear takes hours


# Settings


def settings_of(tmp_path: Path, text: str) -> Any:
    (tmp_path / "registries.toml").write_text(text)
    return load_settings(tmp_path)


def test_without_a_file_only_the_registry_itself_is_asked(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "nowhere")
    assert settings.endpoints(parse_reference("debian")) == [Endpoint("registry-1.docker.io")]
    assert not settings.may_be_plain("registry.lan:5000") and settings.may_be_plain("localhost:5000")


def test_mirrors_come_first_and_may_have_a_path(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[mirrors]\n"docker.io" = ["https://m.lan:5000/", "p.lan/hub/"]')
    assert settings.endpoints(parse_reference("debian")) == [
        Endpoint("m.lan:5000"),
        Endpoint("p.lan", "hub/"),
        Endpoint("registry-1.docker.io"),
    ]
    assert settings.endpoints(parse_reference("a.lan/x")) == [Endpoint("a.lan")]


def test_insecure_hosts_are_those_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANGER_INSECURE_REGISTRIES", "c.lan, d.lan:1")
    settings = settings_of(tmp_path, 'insecure = ["a.lan:5000", "b.lan"]')
    hosts = [
        "a.lan:5000",
        "a.lan:5001",
        "a.lan",
        "b.lan",
        "b.lan:7",
        "c.lan",
        "d.lan:1",
        "d.lan:2",
        "x.b.lan",
    ]
    assert [settings.is_insecure(host) for host in hosts] == [
        True,
        False,
        False,
        True,
        True,
        True,
        True,
        False,
        False,
    ]
    assert settings.with_insecure("e.lan:5").is_insecure("e.lan:6")


@pytest.mark.parametrize(
    "text",
    [
        "insecure = 1",
        'insecure = ["a/b"]',
        "insecure = [1]",
        "mirrors = []",
        '[mirrors]\n"a" = "b"',
        '[mirrors]\n"a" = ["http://b"]',
        '[mirrors]\n"a" = ["https://u:p@b"]',
        "other = 1",
        "= 1",
        "\xff",
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "registries.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(Error) as caught:
        load_settings(tmp_path)
    assert caught.value.code == "bad_request" and "registries.toml" in caught.value.message


def test_certificates_are_looked_for_below_their_directory_only(tmp_path: Path) -> None:
    (tmp_path / "certs.d/a.lan:5000").mkdir(parents=True)
    settings = load_settings(tmp_path)
    assert settings.certificates("a.lan:5000") == tmp_path / "certs.d/a.lan:5000"
    assert settings.certificates("..") is None or settings.certificates("..") == tmp_path / "certs.d/.."
    assert settings.certificates("a/../b") is None


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST:5000", True),
        ("app.localhost", True),
        ("127.0.0.1:5000", True),
        ("127.8.8.8", True),
        ("[::1]:5000", True),
        ("localhost.lan", False),
        ("127.0.0.1.lan", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_loopback_hosts_are_known_by_their_names(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


# Credentials


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("XDG_", "DOCKER_", "REGISTRY_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def keep(path: Path, **content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def found(registry: str, repository: str = "") -> Credentials | None:
    return asyncio.run(find_credentials(registry, repository))


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("a.lan:5000", "a.lan:5000"),
        ("https://a.lan", "a.lan"),
        ("https://a.lan/v2/", "a.lan"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("a.lan/team", "a.lan"),
    ],
)
def test_credentials_are_found_under_any_key(home: Path, key: str, registry: str) -> None:
    keep(home / ".docker/config.json", auths={key: auth("u:p:q"), "other": auth("x:y")})
    assert found(registry, "team/app") == Credentials("u", "p:q")
    assert found("b.lan", "team/app") is None


def test_the_closest_key_counts(home: Path) -> None:
    keep(
        home / ".docker/config.json",
        auths={"a.lan": auth("1:1"), "a.lan/t": auth("2:2"), "a.lan/t/x": auth("3:3")},
    )
    assert [found("a.lan", name) for name in ("z", "t/y", "t/x", "tt")] == [
        Credentials(n, n) for n in ("1", "2", "3", "1")
    ]


def test_the_files_have_an_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    keep(home / ".docker/config.json", auths={"a": auth("docker:1"), "a.lan": auth("docker:1")})
    assert found("a.lan") == Credentials("docker", "1")
    keep(home / ".config/containers/auth.json", auths={"a.lan": auth("config:1")})
    assert found("a.lan") == Credentials("config", "1")
    keep(home / "run/containers/auth.json", auths={"a.lan": auth("run:1")})
    assert found("a.lan") == Credentials("run", "1")
    keep(home / "own/config.json", auths={"a.lan": auth("own:1")})
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "own"))
    assert found("a.lan") == Credentials("own", "1")
    keep(home / "auth.json", auths={"a.lan": auth("podman:1")})
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / "auth.json"))
    assert found("a.lan") == Credentials("podman", "1")


def test_identity_tokens_and_empty_entries(home: Path) -> None:
    keep(
        home / ".docker/config.json", auths={"a.lan": {"identitytoken": "t"}, "b.lan": {}, "c.lan": auth(":")}
    )
    token = found("a.lan")
    assert token is not None and token.identity_token == "t"
    assert found("b.lan") is None and found("c.lan") is None


@pytest.mark.parametrize(
    "content", ["[", "[1]", '{"auths": 1}', '{"auths": {"a.lan": {"auth": "s3cret!"}}}', "x" * 1_100_000]
)
def test_a_damaged_file_is_named_and_not_quoted(home: Path, content: str) -> None:
    path = home / ".docker/config.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(Error) as caught:
        found("a.lan")
    assert caught.value.code == "credentials_error" and str(path) in caught.value.message
    assert "s3cret" not in caught.value.message


def test_a_helper_with_a_path_for_a_name_is_refused(home: Path) -> None:
    keep(home / ".docker/config.json", credsStore="../../bin/sh")
    with pytest.raises(Error) as caught:
        found("a.lan")
    assert caught.value.code == "credentials_error"


@pytest.mark.parametrize("content", ["[", '{"auths": {"a.lan": {"auth": "s3cret!"}}}', "", None])
def test_a_broken_file_hides_no_other_file(home: Path, content: str | None) -> None:
    path = home / ".config/containers/auth.json"
    path.parent.mkdir(parents=True)
    if content is None:
        os.mkfifo(path)
    else:
        path.write_text(content)
    keep(home / ".docker/config.json", auths={"a.lan": auth("u:p")})
    faults: list[Error] = []
    assert asyncio.run(find_credentials("a.lan", "", faults)) == Credentials("u", "p")
    assert [str(path) in fault.message for fault in faults] == ([True] if content != "" else [])


@pytest.mark.parametrize(
    ("rule", "host", "exempt"),
    [
        ("*", "registry.example", True),
        ("10.0.0.0/8", "10.1.2.3:5000", True),
        ("10.0.0.0/8", "11.1.2.3:5000", False),
        ("10.0.0.0/8", "10.example", False),
        ("10.0.0.1/8", "10.1.2.3", True),
        ("fd00::/8", "[fd12::1]:5000", True),
        ("fd00::1", "[fd00::1]:5000", True),
        ("fd00::1", "[fd00::2]:5000", False),
        ("[fd00:0::1]:5000", "[fd00::1]:5000", True),
        ("[fd00::1]:5001", "[fd00::1]:5000", False),
        ("10.1.2.3", "10.1.2.3:5000", True),
        ("10.1.2.3:5000", "10.1.2.3:5000", True),
        ("10.1.2.3:5001", "10.1.2.3:5000", False),
        ("*.corp.lan", "reg.corp.lan:5000", True),
        ("*.corp.lan", "xcorp.lan", False),
        (".corp.lan", "a.reg.Corp.LAN.:5000", True),
        ("corp.lan", "corp.lan", True),
        ("corp.lan", "reg.corp.lan", True),
        ("corp.lan", "notcorp.lan", False),
        ("corp.lan:5000", "reg.corp.lan:5000", True),
        ("corp.lan:443", "reg.corp.lan", True),
        ("corp.lan:5000", "reg.corp.lan", False),
        ("a.lan , b.lan", "b.lan", True),
        ("a.lan b.lan", "b.lan", True),
        ("", "b.lan", False),
        (",", "b.lan", False),
        ("10.0.0.0/99,:,[,/", "10.0.0.1", False),
    ],
)
def test_no_proxy_is_read_in_all_its_forms(
    monkeypatch: pytest.MonkeyPatch, rule: str, host: str, exempt: bool
) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HTTPS_PROXY", "proxy.lan:3128")
    monkeypatch.setenv("NO_PROXY", rule)
    assert find_proxy(host) == (None if exempt else "http://proxy.lan:3128")


def test_secrets_are_not_printed() -> None:
    assert "p4ss" not in repr(Credentials("u", "p4ss", "p4ss", "p4ss"))


# Tokens


def test_a_token_is_asked_for_with_pull_only() -> None:
    challenge = Challenge(
        "bearer", {"realm": "https://a/t?x=1", "service": "s", "scope": "repository:b:push"}
    )
    request = plan_token_request(challenge, "repository:b:pull", Credentials("u", "p"))
    assert request.url == "https://a/t?x=1&service=s&scope=repository%3Ab%3Apull&account=u"
    assert request.headers["Authorization"] == "Basic dTpw" and request.body is None


def test_a_token_for_two_repositories_is_asked_for_with_both() -> None:
    challenge = Challenge("bearer", {"realm": "https://a/t", "service": "s"})
    scope = Place(Endpoint("h"), "b", actions="pull,push", source="c/d").scope
    request = plan_token_request(challenge, scope, None)
    assert request.url == (
        "https://a/t?service=s&scope=repository%3Ab%3Apull%2Cpush&scope=repository%3Ac%2Fd%3Apull"
    )
    posted = plan_token_request(challenge, scope, Credentials(identity_token="i"))
    assert posted.body is not None
    assert b"scope=repository%3Ab%3Apull%2Cpush+repository%3Ac%2Fd%3Apull" in posted.body


def test_an_identity_token_is_posted() -> None:
    challenge = Challenge("bearer", {"realm": "https://a/t", "service": "s"})
    request = plan_token_request(challenge, "x", Credentials(identity_token="i"))
    assert request.url == "https://a/t" and "Authorization" not in request.headers
    assert request.body is not None and b"refresh_token=i" in request.body


@pytest.mark.parametrize(
    "realm", ["", "a", "ftp://a/", "https://", "https://u@a/", "https://a:b/", "https://[a"]
)
def test_a_realm_that_is_no_url_is_refused(realm: str) -> None:
    with pytest.raises(ValueError):
        plan_token_request(Challenge("bearer", {"realm": realm}), "", None)


@pytest.mark.parametrize(
    ("body", "life_s"),
    [
        ({"token": "t"}, (50, 60)),
        ({"access_token": "t", "expires_in": 300}, (290, 300)),
        ({"token": "t", "expires_in": 1e12}, (3500, 3600)),
        ({"token": "t", "expires_in": -5}, (-1, 1)),
    ],
)
def test_a_token_lives_as_long_as_it_says_within_limits(
    body: dict[str, Any], life_s: tuple[float, float]
) -> None:
    grant = parse_token("h", json.dumps(body).encode())
    assert grant.header == "Bearer t" and "t" not in repr(grant).partition("(")[2].replace("expires", "")
    assert life_s[0] <= grant.expires - time.monotonic() <= life_s[1]


# Retries and lifelines


def test_what_may_pass_is_tried_again_and_what_may_not_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(_: float) -> None:
        pass

    monkeypatch.setattr(asyncio, "sleep", none)
    attempts: list[int] = []

    def failing(failure: Exception, patience: Any, progressed: Any = lambda: False) -> int:
        attempts.clear()

        async def attempt() -> None:
            attempts.append(1)
            raise failure

        with pytest.raises(Error):
            asyncio.run(with_retries(attempt, patience, progressed))
        return len(attempts)

    assert failing(broken("h", "x"), FOR_DOCUMENTS) == 3
    assert failing(refused("h", "x"), FOR_DOCUMENTS) == 1
    assert failing(refused("h", "x"), FOR_BLOBS) == 6
    assert failing(Error("image_invalid", "x"), FOR_BLOBS) == 1
    assert failing(broken("h", "x"), FOR_BLOBS, lambda: len(attempts) <= 10) == 15


DATE = "Sat, 28 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("after", "date", "seconds"),
    [
        ("7", "", 7),
        (" 3600 ", "", 3600),
        ("9" * 30, "", 366 * 86400),
        ("Sat, 28 Nov 2026 10:01:30 GMT", DATE, 90),
        ("Saturday, 28-Nov-26 10:01:30 GMT", DATE, 90),
        ("Sat, 28 Nov 2026 09:00:00 GMT", DATE, 0),
        ("", DATE, 0),
        ("soon", DATE, 0),
        ("-5", DATE, 0),
        ("1.5", DATE, 0),
        ("\u0664", DATE, 0),
        ("Sat, 28 Nov 99999 10:01:30 GMT", DATE, 0),
    ],
)
def test_how_long_a_server_asks_to_wait(after: str, date: str, seconds: float) -> None:
    assert asked_wait_s(after, date) == seconds


def asks_to_wait(seconds: float) -> NetworkFailure:
    return NetworkFailure(Kind.BROKEN, for_status("a.lan", "x:1", 429), seconds)


def test_too_long_a_wait_is_refused_at_once_and_says_until_when() -> None:
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        raise asks_to_wait(3600)

    with pytest.raises(Error) as caught:
        asyncio.run(with_retries(attempt, FOR_BLOBS))
    assert attempts == 1 and caught.value.code == "registry_busy"
    assert "3600 s" in caught.value.message and "try again after 2" in caught.value.hint
    assert caught.value.details["retry_after_s"] == 3600


def test_a_short_wait_is_said_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    told: list[str] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def attempt() -> str:
        if not slept:
            raise asks_to_wait(30)
        return "done"

    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert asyncio.run(with_retries(attempt, FOR_DOCUMENTS, tell=told.append)) == "done"
    assert slept == [30] and len(told) == 1 and "again in 30 s" in told[0]


def test_pauses_grow_and_end() -> None:
    pauses = [pause(failed, FOR_BLOBS) for failed in range(1, 12)]
    assert 0.4 <= pauses[0] <= 0.6 and pauses[3] > pauses[0] and max(pauses) <= 60
    assert pause(1, FOR_BLOBS, 10) == 10 and pause(1, FOR_BLOBS, 9999) == 60


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "registry_denied"),
        (403, "registry_denied"),
        (404, "image_not_found"),
        (408, "download_failed"),
        (418, "registry_error"),
        (429, "registry_busy"),
        (500, "download_failed"),
        (301, "registry_error"),
    ],
)
def test_each_status_is_an_error_of_its_own(status: int, code: str) -> None:
    error = for_status("h", "app:1", status)
    assert error.code == code and error.hint


def test_a_thread_that_is_late_is_cut() -> None:
    def work(line: Lifeline) -> None:
        line.allow(0.05)
        while True:
            line.check()
            time.sleep(0.01)

    with pytest.raises(Cut) as caught:
        asyncio.run(on_lifeline(work))
    assert caught.value.late


def test_a_cancelled_thread_ends_and_its_wire_is_shut() -> None:
    shut, begun = threading.Event(), threading.Event()

    class Bell:
        def shut(self) -> None:
            shut.set()

    def work(line: Lifeline) -> None:
        line.hold(Bell())
        begun.set()
        shut.wait(5)

    async def main() -> None:
        task = asyncio.create_task(on_lifeline(work))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert shut.is_set()


def test_what_a_thread_made_after_it_was_cancelled_is_closed() -> None:
    closed, begun = threading.Event(), threading.Event()

    class Thing:
        def close(self) -> None:
            closed.set()

    def work(line: Lifeline) -> Thing:
        begun.set()
        time.sleep(0.05)
        return Thing()

    async def main() -> None:
        task = asyncio.create_task(on_lifeline(work))
        while not begun.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert closed.wait(1)


def test_failures_carry_their_kind() -> None:
    failure = broken("h", "x")
    assert isinstance(failure, NetworkFailure) and failure.kind is Kind.BROKEN
