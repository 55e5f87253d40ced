"""What goes to whom: passwords only over TLS and to their own origin; no stranger's text sends us into this host."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from banger.errors import Error
from banger.images.disks.source import SourceContext
from banger.images.fetch import credential_program, retries
from banger.images.fetch.blobs import BlobStore
from banger.images.fetch.credentials import Credentials, find_credentials
from banger.images.records.sources.registry import open_registry
from banger.images.records.web import Web
from banger.images.reference.documents import OCI_INDEX
from banger.images.reference.platform import Platform
from banger.images.reference.reference import parse_reference
from tests.support.registry import Tls, make_tls
from tests.support.registry_peers import Asked, Peer, open_peer, open_tls_peer, reply
from tests.support.reports import silent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

SECRET = "canary-word"
NO_DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("XDG_") or name.lower().endswith("_proxy") or name == "REGISTRY_AUTH_FILE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setattr(retries, "pause", lambda *_: 0.01)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What host names resolve to, one address after the other; the last one stays. Others are as they are."""
    known: dict[str, list[str]] = {"far.test": ["127.0.0.1"]}
    resolve = socket.getaddrinfo

    def answer(host: str, *rest: Any) -> Any:
        left = known.get(host)
        address = host if left is None else left.pop(0) if len(left) > 1 else left[0]
        return resolve(address, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return known


def keep_password(tmp_path: Path, *hosts: str, identity: bool = False) -> None:
    entry: dict[str, str] = {"auth": base64.b64encode(f"me:{SECRET}".encode()).decode()}
    if identity:
        entry["identitytoken"] = SECRET
    (tmp_path / "docker").mkdir(exist_ok=True)
    (tmp_path / "docker/config.json").write_text(json.dumps({"auths": {host: entry for host in hosts}}))


def answers(make: Callable[[Asked], bytes]) -> Callable[[Asked, socket.socket], None]:
    return lambda asked, connection: connection.sendall(make(asked))


def port(peer: Peer) -> str:
    return peer.host.rpartition(":")[2]


def pull(
    tmp_path: Path, source: str, insecure: bool = False, sender: str = "", warned: list[str] | None = None
) -> Error:
    def report(
        phase: str, message: str = "", done: int = 0, total: int = 0, unit: str = "", layers: object = ()
    ) -> None:
        if phase == "warning" and warned is not None:
            warned.append(message)

    async def work() -> None:
        context = SourceContext(BlobStore(tmp_path / "cache"), tmp_path / "config", insecure, sender)
        async with open_registry(parse_reference(source), context) as opened:
            await opened.resolve(Platform("linux", "amd64"), report)

    with pytest.raises(Error) as caught:
        asyncio.run(work())
    return caught.value


def read(tmp_path: Path, url: str) -> Error:
    web = Web(tmp_path / "config", BlobStore(tmp_path / "cache"))
    with pytest.raises(Error) as caught:
        asyncio.run(web.read_document(url, 1000))
    return caught.value


def fetch(tmp_path: Path, *urls: str) -> Error:
    web = Web(tmp_path / "config", BlobStore(tmp_path / "cache"))
    with pytest.raises(Error) as caught:
        asyncio.run(web.open_file(urls, NO_DIGEST, 10, silent))
    return caught.value


def secrets_in(*peers: Peer) -> list[str]:
    encoded = base64.b64encode(f"me:{SECRET}".encode()).decode()
    asked = [str(asked) for peer in peers for asked in peer.asked]
    return [text for text in asked if SECRET in text or encoded in text]


BASIC = reply(401, WWW_Authenticate='Basic realm="x"')


def test_a_catalog_in_plain_http_gets_no_password(tmp_path: Path, names: dict[str, list[str]]) -> None:
    with open_peer(answers(lambda asked: BASIC)) as peer:
        keep_password(tmp_path, f"far.test:{port(peer)}")
        error = read(tmp_path, f"http://far.test:{port(peer)}/index.json")
        assert error.code == "tls_failed" and "log-in" in error.message
        assert len(peer.asked) == 1 and not secrets_in(peer)


def test_an_insecure_host_and_loopback_get_it_in_plain_http(
    tmp_path: Path, names: dict[str, list[str]]
) -> None:
    with open_peer(answers(lambda asked: BASIC)) as peer:
        (tmp_path / "config").mkdir()
        (tmp_path / "config/registries.toml").write_text('insecure = ["far.test"]')
        keep_password(tmp_path, f"far.test:{port(peer)}", peer.host)
        for host in (f"far.test:{port(peer)}", peer.host):
            read(tmp_path, f"http://{host}/index.json")
        assert len(secrets_in(peer)) == 2


@pytest.mark.parametrize("identity", [False, True])
def test_a_realm_in_plain_http_gets_neither_password_nor_identity_token(
    tmp_path: Path, names: dict[str, list[str]], identity: bool
) -> None:
    with open_peer(answers(lambda asked: reply(200, b'{"token":"t"}'))) as realm:
        url = f"http://far.test:{port(realm)}/token"
        with open_peer(answers(lambda asked: reply(401, WWW_Authenticate=f'Bearer realm="{url}"'))) as peer:
            keep_password(tmp_path, peer.host, identity=identity)
            assert pull(tmp_path, f"{peer.host}/x").code == "tls_failed"
        assert not secrets_in(peer, realm) and realm.asked == []


def test_a_mirror_in_plain_http_gets_no_password(tmp_path: Path, names: dict[str, list[str]]) -> None:
    """It is far from here, and a host of the user's."""
    with open_peer(answers(lambda asked: BASIC)) as mirror, open_peer(answers(lambda asked: BASIC)) as own:
        (tmp_path / "config").mkdir()
        (tmp_path / "config/registries.toml").write_text('reachable = ["far.test"]')
        keep_password(tmp_path, f"far.test:{port(mirror)}", "far.test")
        error = fetch(tmp_path, f"http://{own.host}/b", f"http://far.test:{port(mirror)}/b")
        assert len(mirror.asked) == 1 and not secrets_in(mirror)
        assert error.code == "registry_denied"


def test_a_catalogs_mirror_gets_no_password_even_where_plain_http_is_allowed(tmp_path: Path) -> None:
    with open_peer(answers(lambda asked: BASIC)) as mirror, open_peer(answers(lambda asked: BASIC)) as own:
        keep_password(tmp_path, mirror.host, own.host)
        fetch(tmp_path, f"http://{own.host}/b", f"http://{mirror.host}/b")
        assert secrets_in(own) and mirror.asked and not secrets_in(mirror)


def test_a_catalogs_token_server_elsewhere_gets_no_password(tmp_path: Path) -> None:
    with open_peer(answers(lambda asked: reply(200, b'{"token":"t"}'))) as realm:
        url = f"http://{realm.host}/token"
        with open_peer(answers(lambda asked: reply(401, WWW_Authenticate=f'Bearer realm="{url}"'))) as own:
            keep_password(tmp_path, own.host, realm.host)
            read(tmp_path, f"http://{own.host}/index.json")
            assert realm.asked and not secrets_in(own, realm)


def test_a_redirect_from_tls_to_plain_http_is_not_followed(
    tmp_path: Path, names: dict[str, list[str]]
) -> None:
    tls: Tls = make_tls(tmp_path / "tls")
    with open_peer(answers(lambda asked: reply(200, b"{}"))) as plain:
        target = f"http://far.test:{port(plain)}/manifest"
        with open_tls_peer(
            tls.certificate, tls.key, answers(lambda asked: reply(307, Location=target))
        ) as peer:
            host = peer.host
            certificates = tmp_path / "config/certs.d" / host
            certificates.mkdir(parents=True)
            (certificates / "ca.crt").write_bytes(tls.ca.read_bytes())
            keep_password(tmp_path, host)
            assert pull(tmp_path, f"{host}/x").code == "tls_failed"
        assert plain.asked == []


LOCAL = [
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "0",
    "localhost",
    "[::ffff:127.0.0.1]",
    "[::1]",
    "127.0.0.1",
]


@pytest.mark.parametrize("host", LOCAL)
@pytest.mark.parametrize("status", [307, 401])
def test_no_spelling_leads_from_elsewhere_to_this_host(
    tmp_path: Path, names: dict[str, list[str]], host: str, status: int
) -> None:
    with open_peer(answers(lambda asked: reply(200, b"{}"))) as own:
        url = f"https://{host}:{port(own)}/secret"
        answer = reply(status, Location=url, WWW_Authenticate=f'Bearer realm="{url}"')
        with open_peer(answers(lambda asked: answer)) as peer:
            error = pull(tmp_path, f"far.test:{port(peer)}/x", insecure=True)
        assert error.code == "registry_error" and "this very host" in error.message
        assert own.asked == []


@pytest.mark.parametrize("status", [307, 401])
def test_a_name_is_judged_by_the_address_that_is_connected_to(
    tmp_path: Path, names: dict[str, list[str]], status: int
) -> None:
    """And no name gets a second answer between the judgement and the connection."""
    names["rebound.test"] = ["127.0.0.1", "127.0.0.1", "127.0.0.1"]
    with socket.create_server(("127.0.0.1", 0)) as own:
        own.setblocking(False)
        url = f"https://rebound.test:{own.getsockname()[1]}/secret"
        answer = reply(status, Location=url, WWW_Authenticate=f'Bearer realm="{url}"')
        with open_peer(answers(lambda asked: answer)) as peer:
            error = pull(tmp_path, f"far.test:{port(peer)}/x", insecure=True)
        assert error.code == "registry_error" and "this very host" in error.message
        with pytest.raises(BlockingIOError):
            own.accept()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "rebound.test", "169.254.169.254", "[::ffff:a9fe:a9fe]"]
)
def test_a_catalogs_mirrors_are_judged_alike(tmp_path: Path, names: dict[str, list[str]], host: str) -> None:
    names["rebound.test"] = ["127.0.0.1"]
    with open_peer(answers(lambda asked: reply(200, b"x"))) as own:
        with open_peer(answers(lambda asked: reply(404))) as catalog:
            error = fetch(
                tmp_path, f"http://far.test:{port(catalog)}/b", f"http://{host}:{port(own)}/admin?delete"
            )
            assert len(catalog.asked) == 1
        assert error.code == "download_failed" and "it redirects to" in error.message
        assert own.asked == []


def test_a_catalogs_registry_is_judged_alike(tmp_path: Path) -> None:
    with open_peer(answers(lambda asked: reply(200, b"{}"))) as own:
        error = pull(tmp_path, f"{own.host}/x@{NO_DIGEST}", sender="catalog.example")
        assert error.code == "registry_error" and "this very host" in error.message
        assert own.asked == []
        assert pull(tmp_path, f"{own.host}/x@{NO_DIGEST}", sender="127.0.0.1:1").code == "registry_error"
        assert len(own.asked) == 1


LOGIN_PAGE = reply(200, b"<html>log in</html>", Content_Type="text/html")


@pytest.mark.parametrize(
    "answer",
    [
        LOGIN_PAGE,
        reply(200, b"", Content_Type=OCI_INDEX),
        reply(200, b'{"errors":[{"code":"DENIED"}]}', Content_Type="application/json"),
        reply(200, b"[]"),
        reply(302, Location="/login"),
        reply(302, Location="https://192.0.2.1/login"),
        reply(403, b"<html>"),
    ],
)
def test_a_mirror_that_answers_something_else_is_passed_over(tmp_path: Path, answer: bytes) -> None:
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    with (
        open_peer(answers(lambda asked: LOGIN_PAGE if asked.path == "/login" else answer)) as mirror,
        open_peer(answers(lambda asked: reply(200, index))) as own,
    ):
        (tmp_path / "config").mkdir()
        (tmp_path / "config/registries.toml").write_text(
            f'[mirrors]\n"{own.host}" = ["https://{mirror.host}"]'
        )
        assert pull(tmp_path, f"{own.host}/x").code == "platform_not_found"
        assert mirror.asked and own.asked


def test_when_nobody_has_it_the_error_tells_what_each_said(tmp_path: Path) -> None:
    with (
        open_peer(answers(lambda asked: LOGIN_PAGE)) as mirror,
        open_peer(answers(lambda asked: reply(404))) as own,
    ):
        (tmp_path / "config").mkdir()
        (tmp_path / "config/registries.toml").write_text(
            f'[mirrors]\n"{own.host}" = ["https://{mirror.host}"]'
        )
        error = pull(tmp_path, f"{own.host}/x")
        assert error.code == "image_not_found"
        assert mirror.host in error.message and own.host in error.message


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("after", ["3600", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_registry_that_asks_for_an_hour_is_not_waited_for(tmp_path: Path, status: int, after: str) -> None:
    with open_peer(answers(lambda asked: reply(status, Retry_After=after))) as peer:
        error = pull(tmp_path, f"{peer.host}/x")
        assert error.code == ("registry_busy" if status == 429 else "download_failed")
        assert "try again after" in error.hint and len(peer.asked) == 1


def test_a_token_server_may_ask_for_patience_too(tmp_path: Path) -> None:
    def answer(asked: Asked) -> bytes:
        if asked.path.startswith("/token"):
            return reply(429, Retry_After="3600")
        url = f"http://{asked.headers['host']}/token"
        return reply(401, WWW_Authenticate=f'Bearer realm="{url}"')

    with open_peer(answers(answer)) as peer:
        assert pull(tmp_path, f"{peer.host}/x").code == "registry_busy"


def test_without_its_helper_a_public_image_is_asked_for_and_a_private_one_names_the_helper(
    tmp_path: Path,
) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/config.json").write_text('{"auths": {}, "credsStore": "no-such-helper"}')
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()

    def answer(asked: Asked) -> bytes:
        if asked.path.startswith("/token"):
            return reply(200, b'{"token":"anonymous"}')
        if "authorization" not in asked.headers or "/private/" in asked.path:
            url = f"http://{asked.headers['host']}/token"
            return reply(401, WWW_Authenticate=f'Bearer realm="{url}"')
        return reply(200, index)

    with open_peer(answers(answer)) as peer:
        warned: list[str] = []
        error = pull(tmp_path, f"{peer.host}/public/x", warned=warned)
        assert error.code == "platform_not_found"
        assert len(warned) == 1 and "docker-credential-no-such-helper is not installed" in warned[0]
        error = pull(tmp_path, f"{peer.host}/private/x")
        assert error.code == "registry_denied"
        assert "docker-credential-no-such-helper is not installed" in error.message
    with open_peer(answers(lambda asked: BASIC)) as peer:
        assert "no-such-helper" in pull(tmp_path, f"{peer.host}/x").message


def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    program = tmp_path / "bin" / f"docker-credential-{name}"
    program.parent.mkdir(exist_ok=True)
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("", "not installed"),
        ("#!/bin/sh\nexit 3\n", "code 3"),
        ("#!/bin/sh\necho s3cret\n", "not answer with credentials"),
        ("#!/bin/sh\nsleep 30\n", "did not answer"),
        ("#!/no/such/shell\n", "cannot be started"),
    ],
)
def test_a_broken_helper_hides_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    monkeypatch.setattr(credential_program, "_ANSWER_S", 0.5)
    if script:
        helper(tmp_path, monkeypatch, "test", script)
    podman, docker = tmp_path / "home/.config/containers/auth.json", tmp_path / "docker/config.json"
    podman.parent.mkdir(parents=True)
    podman.write_text('{"credHelpers": {"a.lan": "test"}}')
    faults: list[Error] = []
    assert asyncio.run(find_credentials("a.lan", "", faults)) is None
    assert [fault.code for fault in faults] == ["credentials_error"]
    assert reason in faults[0].message and "s3cret" not in str(faults[0].as_dict())
    docker.parent.mkdir()
    entry = {"auth": base64.b64encode(b"u:p").decode()}
    docker.write_text(json.dumps({"credsStore": "test", "auths": {"a.lan": entry}}))
    faults.clear()
    assert asyncio.run(find_credentials("a.lan", "", faults)) == Credentials("u", "p")
    assert len(faults) == 1, "one that failed is not asked again"
