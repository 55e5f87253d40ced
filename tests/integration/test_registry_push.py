"""Images sent to registries: a real one with a password, and ones that answer with nonsense."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from banger.errors import Error
from banger.images.made.documents import Layered
from banger.images.made.pushing import hold, push
from banger.images.reference.documents import LAYER_TAR, Documents, Layer, digest_of
from banger.images.reference.reference import parse_reference
from banger.model.image import Pushed
from tests.support.registry import PASSWORD, USER, call, open_registry_server, require_tools
from tests.support.registry_peers import Asked, open_peer, reply
from tests.support.reports import silent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

_DATA = b"layer" * 100_000


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
