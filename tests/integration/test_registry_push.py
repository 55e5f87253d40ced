"""Images sent to registries: a real one with a password, and ones that answer with nonsense."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from banger.errors import Error
from banger.images.fetch import retries
from banger.images.made.documents import Layered
from banger.images.made.pushing import hold, push
from banger.images.reference.documents import LAYER_TAR, Documents, Layer, digest_of
from banger.images.reference.reference import parse_reference
from banger.model.image import Pushed
from tests.support.registry import (
    PASSWORD,
    USER,
    call,
    make_tls,
    open_registry_server,
    require_tools,
    sign_token,
)
from tests.support.registry_peers import Asked, Peer, open_cutter, open_peer, reply
from tests.support.reports import silent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

_DATA = b"layer" * 100_000
Answers = Callable[[list[str]], list[str] | None]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "pause", lambda *_: 0.01)


def send(ref: str, config: Path, origin: str = "") -> Pushed:
    layer = Layer(digest_of(_DATA), len(_DATA), LAYER_TAR, digest_of(_DATA))
    rootfs = {"type": "layers", "diff_ids": [layer.diff_id]}
    text = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": rootfs}).encode()
    described = [{"mediaType": LAYER_TAR, "digest": layer.digest, "size": layer.size}]
    own = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": digest_of(text),
        "size": len(text),
    }
    manifest = json.dumps({"schemaVersion": 2, "config": own, "layers": described}).encode()
    with hold(_DATA) as blob:
        image = Layered(
            Documents(manifest, text), [(layer, blob)], parse_reference(origin) if origin else None
        )
        return asyncio.run(push(parse_reference(ref), image, config, False, silent))


def test_a_registry_with_a_password_gets_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_tools("skopeo")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with open_registry_server(tmp_path / "registry", htpasswd=True) as server:
        with pytest.raises(Error) as caught:
            send(f"{server.host}/a/b:1", tmp_path)
        assert caught.value.code == "registry_denied"
        (tmp_path / "docker").mkdir()
        call(
            "skopeo", "login", "--tls-verify=false", "-u", USER, "-p", PASSWORD,
            "--authfile", str(tmp_path / "docker/config.json"), server.host,
        )  # fmt: skip
        first = send(f"{server.host}/a/b:1", tmp_path)
        assert first.sent == 1 and first.layers == 1
        assert send(f"{server.host}/a/b:2", tmp_path).sent == 0
        assert send(f"{server.host}/other:1", tmp_path, origin=f"{server.host}/a/b:1").sent == 0
        target = f"docker://{server.host}/other:1"
        source = ["--src-tls-verify=false", "--src-creds", f"{USER}:{PASSWORD}"]
        call("skopeo", "copy", *source, target, f"dir:{tmp_path}/copy")
        assert (tmp_path / "copy" / digest_of(_DATA).partition(":")[2]).read_bytes() == _DATA


@dataclass
class _Tokens:
    """A registry that wants tokens, behind a watcher, and the scopes that its token server was asked for."""

    host: str
    watcher: Peer
    asked: list[list[str]]

    def steps(self) -> list[str]:
        """The requests that may begin or carry an upload."""
        return [f"{one.method} {one.path}" for one in self.watcher.asked if one.method in ("POST", "PUT")]


@contextmanager
def open_token_registry(directory: Path, answers: Answers) -> Iterator[_Tokens]:
    """`answers` says for what the scopes of a request a token is given; None refuses the request."""
    tls, asked = make_tls(directory / "tls"), list[list[str]]()

    def give(request: Asked, connection: socket.socket) -> None:
        asked.append(parse_qs(urlsplit(request.path).query).get("scope", []))
        given = answers(asked[-1])
        if given is None:
            connection.sendall(reply(403))
            return
        text = sign_token(tls, "test issuer", "test registry", *given)
        connection.sendall(reply(200, json.dumps({"token": text, "expires_in": 300}).encode()))

    with open_peer(give) as tokens:
        token = {
            "realm": f"http://{tokens.host}/token",
            "service": "test registry",
            "issuer": "test issuer",
            "rootcertbundle": str(tls.ca),
        }
        with (
            open_registry_server(directory / "registry", token=token) as server,
            open_cutter(server.host, []) as watcher,
        ):
            yield _Tokens(watcher.host, watcher, asked)


def test_a_registry_with_tokens_mounts_what_another_repository_has(tmp_path: Path) -> None:
    with open_token_registry(tmp_path, lambda scopes: scopes) as registry:
        assert send(f"{registry.host}/team/base:1", tmp_path).sent == 1
        registry.watcher.asked.clear()
        registry.asked.clear()
        assert send(f"{registry.host}/team/app:1", tmp_path, origin=f"{registry.host}/team/base:1").sent == 0
        mounted, *rest = registry.steps()
        assert "POST /v2/team/app/blobs/uploads/?mount=sha256" in mounted
        assert not [step for step in rest if step.startswith("PUT") and "/blobs/" in step]
        assert ["repository:team/app:pull,push", "repository:team/base:pull"] in registry.asked
        assert send(f"{registry.host}/team/app:2", tmp_path).sent == 0


@pytest.mark.parametrize(
    "answers",
    [
        lambda scopes: None if len(scopes) > 1 else scopes,
        lambda scopes: scopes[:1],
    ],
)
def test_a_registry_that_refuses_the_other_repository_gets_the_blob(answers: Answers, tmp_path: Path) -> None:
    with open_token_registry(tmp_path, answers) as registry:
        send(f"{registry.host}/secret/base:1", tmp_path)
        registry.asked.clear()
        origin = f"{registry.host}/secret/base:1"
        assert send(f"{registry.host}/team/app:1", tmp_path, origin=origin).sent == 1
        assert [scopes for scopes in registry.asked if len(scopes) > 1], "both were asked for first"
        registry.asked.clear()
        assert send(f"{registry.host}/team/app:2", tmp_path).sent == 0


@pytest.mark.parametrize(
    "location",
    [
        "",
        "http://169.254.169.254/put",
        "https://10.0.0.1/put",
        "file:///etc/passwd",
        "http://user:secret@127.0.0.1/",
        "https://[::1",
        "/x" * 5000,
    ],
)
def test_a_place_for_an_upload_that_cannot_be_is_refused(location: str, tmp_path: Path) -> None:
    def answer(asked: Asked, connection: socket.socket) -> None:
        connection.sendall(reply(404) if asked.method == "HEAD" else reply(202, Location=location))

    with open_peer(answer) as peer, pytest.raises(Error) as caught:
        send(f"{peer.host}/a:1", tmp_path)
    assert caught.value.code in ("registry_error", "tls_failed")
    assert not [asked for asked in peer.asked if asked.method == "PUT"]


@pytest.mark.parametrize("status", [301, 307, 400, 404, 413])
def test_an_upload_is_neither_redirected_nor_taken_for_done(status: int, tmp_path: Path) -> None:
    def answer(asked: Asked, connection: socket.socket) -> None:
        if asked.method == "HEAD":
            connection.sendall(reply(404))
        elif asked.method == "POST":
            connection.sendall(reply(202, Location="/put?x=1"))
        else:
            connection.sendall(reply(status, Location="/elsewhere" if status < 400 else ""))
            while connection.recv(65536):
                pass

    with open_peer(answer) as peer, pytest.raises(Error) as caught:
        send(f"{peer.host}/a:1", tmp_path)
    assert caught.value.code in ("registry_error", "image_not_found", "download_failed")
    assert not [asked for asked in peer.asked if "elsewhere" in asked.path or "manifests" in asked.path]


def test_a_manifest_that_is_kept_as_another_is_an_error(tmp_path: Path) -> None:
    def answer(asked: Asked, connection: socket.socket) -> None:
        head = asked.method == "HEAD"
        connection.sendall(reply(200 if head else 201, Docker_Content_Digest="sha256:" + "0" * 64))

    with open_peer(answer) as peer, pytest.raises(Error) as caught:
        send(f"{peer.host}/a:1", tmp_path)
    assert caught.value.code == "registry_error"
