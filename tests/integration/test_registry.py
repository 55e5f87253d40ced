"""Images of real registries: Debian's docker-registry on a loopback port, filled by buildah and skopeo; and of servers
that break, lie and flood."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import io
import json
import logging
import os
import socket
import ssl
import stat
import tarfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from banger.errors import Error
from banger.host import thread
from banger.images.disks.source import SourceContext
from banger.images.fetch import retries
from banger.images.fetch.blobs import BlobStore
from banger.images.fetch.credentials import find_credentials
from banger.images.fetch.login import login, logout
from banger.images.fetch.transport import Timeouts
from banger.images.records.sources.opening import open_source
from banger.images.records.sources.registry import open_registry
from banger.images.reference.documents import ImagePlan
from banger.images.reference.platform import Platform, parse_platform
from banger.images.reference.reference import Reference, parse_reference, parse_source
from banger.model.operation import Layers
from tests.support.pace import allowed_s
from tests.support.registry import (
    PASSWORD,
    USER,
    RegistryServer,
    Tls,
    make_tls,
    open_registry_server,
    sign_token,
)
from tests.support.registry_images import Builder
from tests.support.registry_peers import Asked, Peer, open_cutter, open_peer, reply
from tests.support.reports import silent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

AMD64 = Platform("linux", "amd64")
HELLO = {"hello": b"hello\n", "etc/motd": b"first\n"}
BIG = {"big": os.urandom(3 * 1024 * 1024)}
ALL = 1 << 40
QUICK = Timeouts(connect=2, read=2, head=0.5, small=0.5, pace=0.5)


@dataclass
class Pulled:
    """A plan, and what its layers hold, inflated."""

    plan: ImagePlan
    files: dict[str, bytes] = field(default_factory=dict)
    compressions: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def image(builder: Builder) -> str:
    return builder.image("app", [HELLO, BIG], "--cmd", '["/hello"]', "--env", "A=b", "--port", "80/tcp")


@pytest.fixture(scope="module")
def app(builder: Builder, image: str, server: RegistryServer) -> str:
    builder.push(image, f"docker://{server.host}/team/app:1.0")
    return f"{server.host}/team/app:1.0"


@pytest.fixture(scope="module")
def big(builder: Builder, server: RegistryServer) -> str:
    """One layer of 3 MiB, so that who cuts connections knows what is asked for: the configuration, then the layer."""
    builder.push(builder.image("big", [BIG]), f"docker://{server.host}/big:1")
    return f"{server.host}/big:1"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def context(tmp_path: Path) -> SourceContext:
    return SourceContext(BlobStore(tmp_path / "cache/oci"), tmp_path / "config")


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials or proxies of who runs the tests; no long pauses between attempts."""
    for name in list(os.environ):
        if (
            name.startswith("XDG_")
            or name.lower().endswith("_proxy")
            or name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE")
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(retries, "pause", lambda *_: 0.01)


async def pull(source: str, context: SourceContext, platform: Platform = AMD64) -> Pulled:
    async with open_source(parse_source(source), context) as opened:
        plan = await opened.resolve(platform, silent)
        await opened.prefetch(plan, silent)
        pulled = Pulled(plan)
        for layer in plan.layers:
            with await opened.open_layer(layer) as blob:
                data = blob.readall() or b""
            assert len(data) == layer.size and digest_of(data) == layer.digest
            pulled.compressions.append(layer.compression)
            pulled.files |= unpacked(data, layer.compression, layer.diff_id)
        return pulled


def unpacked(data: bytes, compression: str, diff_id: str) -> dict[str, bytes]:
    if compression == "gzip":
        data = gzip.decompress(data)
    if compression == "zstd":
        import zstandard

        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    assert digest_of(data) == diff_id
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = {info.name: tar.extractfile(info) for info in tar if info.isreg()}
        return {name: file.read() for name, file in files.items() if file is not None}


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def run_pull(source: str, context: SourceContext, platform: Platform = AMD64) -> Pulled:
    return asyncio.run(pull(source, context, platform))


def failure(source: str, context: SourceContext, platform: Platform = AMD64) -> Error:
    with pytest.raises(Error) as caught:
        run_pull(source, context, platform)
    return caught.value


# What is pulled


def test_an_image_of_a_registry_comes_with_its_layers_and_configuration(
    app: str, context: SourceContext
) -> None:
    pulled = run_pull(app, context)
    assert pulled.files == HELLO | BIG and pulled.compressions == ["gzip", "gzip"]
    config = pulled.plan.config
    assert (config.cmd, config.env, config.exposed_ports) == (["/hello"], ["A=b"], ["80/tcp"])
    assert pulled.plan.platform == AMD64


def test_what_is_in_the_store_is_not_fetched_again(
    app: str, server: RegistryServer, context: SourceContext
) -> None:
    first = run_pull(app, context)
    with open_cutter(server.host, []) as between:
        again = run_pull(app.replace(server.host, between.host), context)
        assert again.plan == first.plan
        assert [asked.path for asked in between.asked] == ["/v2/team/app/manifests/1.0"]


def test_an_image_is_found_by_digest(app: str, context: SourceContext) -> None:
    digest = run_pull(app, context).plan.manifest_digest
    name = app.rpartition(":")[0]
    assert run_pull(f"{name}@{digest}", context).plan.manifest_digest == digest
    wrong = f"{name}@sha256:{'0' * 64}"
    assert failure(wrong, context).code == "image_not_found"


@pytest.mark.parametrize("kind", ["manifest", "index"])
def test_what_a_digest_names_is_asked_for_once(
    builder: Builder, image: str, server: RegistryServer, context: SourceContext, kind: str
) -> None:
    if kind == "index":
        builder.push_index([image], f"docker://{server.host}/once:{kind}")
    else:
        builder.push(image, f"docker://{server.host}/once:{kind}")
    digest = server.digest_of(f"once:{kind}")
    with open_cutter(server.host, []) as between:
        pinned = f"{between.host}/once@{digest}"
        first = run_pull(pinned, context)
        between.asked.clear()
        assert run_pull(pinned, context).plan == first.plan
        assert between.asked == []
        context.store.path_of(digest).write_bytes(b"damaged")
        assert run_pull(pinned, context).plan == first.plan
        assert [asked.path for asked in between.asked] == [f"/v2/once/manifests/{digest}"]


def test_zstd_layers_are_pulled(builder: Builder, server: RegistryServer, context: SourceContext) -> None:
    # Of new content: buildah would rather use the gzip blob that it pushed before.
    files = {"z": os.urandom(100)}
    image = builder.image("zstd", [files])
    builder.push(image, f"docker://{server.host}/zstd:1", "--format", "oci", "--compression-format", "zstd")
    pulled = run_pull(f"{server.host}/zstd:1", context)
    assert pulled.compressions == ["zstd"] and pulled.files == files


def test_the_platform_that_is_asked_for_is_chosen_from_an_index(
    builder: Builder, server: RegistryServer, context: SourceContext
) -> None:
    images = [builder.image("multi", [{"arch": arch.encode()}], arch=arch) for arch in ("amd64", "arm64")]
    builder.push_index(images, f"docker://{server.host}/multi:1")
    for arch in ("amd64", "arm64"):
        pulled = run_pull(f"{server.host}/multi:1", context, parse_platform(arch))
        assert pulled.files == {"arch": arch.encode()} and pulled.plan.platform.architecture == arch
    error = failure(f"{server.host}/multi:1", context, parse_platform("riscv64"))
    assert error.code == "platform_not_found"
    assert error.details["platforms"] == ["linux/amd64", "linux/arm64"] and "linux/amd64" in error.message


def test_an_image_for_another_machine_is_refused_by_name(app: str, context: SourceContext) -> None:
    error = failure(app, context, parse_platform("linux/arm64"))
    assert (error.code, error.details["platforms"]) == ("platform_not_found", ["linux/amd64"])


@pytest.mark.parametrize("name", ["team/app:2.0", "team/nothing:1.0"])
def test_what_is_not_there_is_said_to_be(server: RegistryServer, context: SourceContext, name: str) -> None:
    error = failure(f"{server.host}/{name}", context)
    assert error.code == "image_not_found" and name in error.message


def test_nobody_listening_is_told_at_once(context: SourceContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
    begun = time.monotonic()
    error = failure(f"{host}/x", context)
    assert error.code == "download_failed" and "refused" in error.message
    assert time.monotonic() - begun < allowed_s(2)


# Archives and layouts


@pytest.mark.parametrize(
    ("destination", "source"),
    [
        ("oci:{}/layout:1.0", "oci:{}/layout:1.0"),
        ("oci:{}/layout:1.0", "oci:{}/layout"),
        ("oci-archive:{}/oci.tar:1.0", "oci-archive:{}/oci.tar"),
        ("oci-archive:{}/oci.tar:1.0", "docker-archive:{}/oci.tar:1.0"),
        ("docker-archive:{}/docker.tar:app:1.0", "docker-archive:{}/docker.tar"),
        ("docker-archive:{}/docker.tar:app:1.0", "docker-archive:{}/docker.tar:app:1.0"),
        ("docker-archive:{}/docker.tar:app:1.0", "docker-archive:{}/docker.tar:@0"),
    ],
)
def test_what_other_tools_write_is_read(
    builder: Builder, image: str, tmp_path: Path, context: SourceContext, destination: str, source: str
) -> None:
    builder.push(image, destination.format(tmp_path))
    pulled = run_pull(source.format(tmp_path), context)
    assert pulled.files == HELLO | BIG and pulled.plan.config.cmd == ["/hello"]
    assert not list(context.store.directory.rglob("*.tar"))


def test_an_archive_that_is_compressed_as_a_whole_is_read(
    builder: Builder, image: str, tmp_path: Path, context: SourceContext
) -> None:
    builder.push(image, f"docker-archive:{tmp_path}/d.tar:app:1.0")
    (tmp_path / "d.tar.gz").write_bytes(gzip.compress((tmp_path / "d.tar").read_bytes(), 1))
    assert run_pull(f"docker-archive:{tmp_path}/d.tar.gz", context).files == HELLO | BIG


def test_an_archive_without_the_image_says_what_it_holds(
    builder: Builder, image: str, tmp_path: Path, context: SourceContext
) -> None:
    builder.push(image, f"docker-archive:{tmp_path}/d.tar:app:1.0")
    builder.push(image, f"oci:{tmp_path}/layout:1.0")
    builder.push(image, f"oci:{tmp_path}/layout:2.0")
    assert "app:1.0" in failure(f"docker-archive:{tmp_path}/d.tar:other", context).hint
    error = failure(f"oci:{tmp_path}/layout:3.0", context)
    assert error.code == "image_not_found" and error.details["known"] == ["1.0", "2.0"]


def test_standard_input_is_one_layer(context: SourceContext, tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        info = tarfile.TarInfo("x")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(data.getvalue()), 7):
            yield data.getvalue()[at : at + 7]

    pulled = run_pull("-", SourceContext(context.store, context.config, stdin=chunks()))
    assert pulled.files == {"x": b"abc"} and pulled.compressions == ["gzip"]
    assert [path for path in context.store.directory.rglob("*") if path.is_file()] == []


# Broken connections


def test_a_download_goes_on_where_it_broke_off(
    big: str, server: RegistryServer, context: SourceContext
) -> None:
    with open_cutter(server.host, [ALL, 1_000_000, 700_000]) as between:
        pulled = run_pull(big.replace(server.host, between.host), context)
    assert pulled.files == BIG
    ranges = [asked.headers["range"] for asked in between.asked if "range" in asked.headers]
    starts = [int(text.removeprefix("bytes=").removesuffix("-")) for text in ranges]
    assert len(starts) == 2 and 0 < starts[0] < starts[1] < 3 * 1024 * 1024


def test_what_one_pull_left_the_next_one_uses(
    big: str, server: RegistryServer, context: SourceContext
) -> None:
    with open_cutter(server.host, [ALL, *[200_000] * 30]) as between:
        error = failure(big.replace(server.host, between.host), context)
    assert error.code == "download_failed"
    left = context.store.usage().partial_bytes
    assert left > 100_000
    with open_cutter(server.host, []) as between:
        run_pull(big.replace(server.host, between.host), context)
        assert f"bytes={left}-" in [asked.headers.get("range") for asked in between.asked]
    assert context.store.usage().partials == 0


def test_a_damaged_leftover_is_fetched_anew(app: str, context: SourceContext) -> None:
    plan = run_pull(app, context).plan
    big = max(plan.layers, key=lambda layer: layer.size)
    data = bytearray(context.store.path_of(big.digest).read_bytes()[:1_000_000])
    data[5] ^= 1
    context.store.remove(big.digest)
    (context.store.directory / "partial" / big.digest.removeprefix("sha256:")).write_bytes(data)
    assert run_pull(app, context).files == HELLO | BIG


def test_a_blob_that_was_damaged_in_the_store_is_fetched_anew(app: str, context: SourceContext) -> None:
    plan = run_pull(app, context).plan
    for layer, damaged in zip(plan.layers, (b"", bytes(plan.layers[1].size)), strict=True):
        context.store.path_of(layer.digest).write_bytes(damaged)
    assert run_pull(app, context).files == HELLO | BIG


def test_two_pulls_at_once_fetch_each_blob_once(
    app: str, server: RegistryServer, context: SourceContext
) -> None:
    async def main(source: str) -> tuple[Pulled, Pulled, Pulled]:
        other = SourceContext(BlobStore(context.store.directory), context.config)
        return await asyncio.gather(pull(source, context), pull(source, other), pull(source, context))

    with open_cutter(server.host, []) as between:
        for pulled in asyncio.run(main(app.replace(server.host, between.host))):
            assert pulled.files == HELLO | BIG
    blobs = [asked.path for asked in between.asked if "/blobs/" in asked.path]
    assert len(blobs) == len(set(blobs)) == 3


def test_each_layer_of_a_pull_is_told_of_also_by_a_pull_that_waits_for_the_blobs_of_another(
    app: str, context: SourceContext
) -> None:
    async def watched() -> tuple[ImagePlan, list[Layers]]:
        told: list[Layers] = []

        def report(
            phase: str, message: str = "", done: int = 0, total: int = 0, unit: str = "", layers: Layers = ()
        ) -> None:
            told.append(layers)
            assert not layers or sum(layer.done for layer in layers) <= total

        async with open_source(parse_source(app), context) as opened:
            plan = await opened.resolve(AMD64, report)
            await opened.prefetch(plan, report)
            for layer in plan.layers:
                (await opened.open_layer(layer)).close()
            await asyncio.sleep(0)
        return plan, told

    async def main() -> list[tuple[ImagePlan, list[Layers]]]:
        return [*await asyncio.gather(watched(), watched())]

    for plan, told in asyncio.run(main()):
        assert [(layer.digest, layer.state, layer.done, layer.total) for layer in told[-1]] == [
            (layer.digest[7:19], "done", layer.size, layer.size) for layer in plan.layers
        ]


def test_pruning_during_a_pull_hurts_nobody(app: str, context: SourceContext) -> None:
    stop = threading.Event()

    def prune() -> None:
        while not stop.is_set():
            context.store.prune()

    thread = threading.Thread(target=prune)
    thread.start()
    try:
        for _ in range(3):
            assert run_pull(app, context).files == HELLO | BIG
    finally:
        stop.set()
        thread.join()


def test_a_cancelled_pull_ends_within_a_second(
    context: SourceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "_IDLE_S", 0.1)
    hung = threading.Event()

    def hang(asked: Asked, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{")
        hung.set()
        connection.recv(1)

    async def main(host: str) -> float:
        task = asyncio.create_task(pull(f"{host}/x", context))
        while not hung.is_set():
            await asyncio.sleep(0.01)
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - begun

    with open_peer(hang) as peer:
        assert asyncio.run(main(peer.host)) < allowed_s(1)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and any(t.name.startswith("registry") for t in threading.enumerate()):
        time.sleep(0.01)
    assert not [t for t in threading.enumerate() if t.name.startswith("registry")]


# Log-ins


def docker_config(tmp_path: Path, content: dict[str, object]) -> None:
    path = tmp_path / "home/.docker/config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def private(
    builder: Builder, image: str, tls: Tls, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegistryServer]:
    with open_registry_server(tmp_path_factory.mktemp("private"), tls, htpasswd=True) as opened:
        builder.push(image, f"docker://{opened.host}/app:1", "--creds", f"{USER}:{PASSWORD}")
        yield opened


def trust(context: SourceContext, host: str, tls: Tls) -> None:
    place = context.config / "certs.d" / host
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes(tls.ca.read_bytes())


def test_a_certificate_of_an_unknown_ca_is_refused_and_a_known_one_is_not(
    private: RegistryServer, tls: Tls, context: SourceContext
) -> None:
    error = failure(f"{private.host}/app:1", context)
    assert error.code == "tls_failed" and "certs.d" in error.hint
    trust(context, private.host, tls)
    assert failure(f"{private.host}/app:1", context).code == "registry_denied"


def test_insecure_accepts_any_certificate(private: RegistryServer, context: SourceContext) -> None:
    insecure = SourceContext(context.store, context.config, insecure=True)
    assert failure(f"{private.host}/app:1", insecure).code == "registry_denied"


def test_a_user_logs_in_pulls_and_logs_out(
    private: RegistryServer, tls: Tls, context: SourceContext, tmp_path: Path
) -> None:
    trust(context, private.host, tls)
    docker_config(tmp_path, {"auths": {"other.test": {"auth": "eDp5"}}, "psFormat": "kept"})

    async def main() -> None:
        with pytest.raises(Error) as caught:
            await login(private.host, USER, "wrong", context.config)
        assert caught.value.code == "registry_denied"
        assert await find_credentials(private.host) is None
        kept = await login(f"https://{private.host}/", USER, PASSWORD, context.config)
        assert stat.S_IMODE(Path(kept).stat().st_mode) == 0o600
        assert (await pull(f"{private.host}/app:1", context)).files == HELLO | BIG
        assert (await logout(private.host, context.grants)).removed
        assert not (await logout(private.host)).removed
        with pytest.raises(Error):
            await pull(f"{private.host}/app:1", context)

    asyncio.run(main())
    left = json.loads((tmp_path / "home/.docker/config.json").read_text())
    assert left == {"auths": {"other.test": {"auth": "eDp5"}}, "psFormat": "kept"}


HELPER = """#!/bin/sh
kept="{kept}"
case "$1" in
store) cat > "$kept" ;;
get) cat > /dev/null; [ -e "$kept" ] && cat "$kept" ||
    {{ echo "credentials not found in native keychain"; exit 1; }} ;;
erase) [ -e "$kept" ] && rm "$kept" || {{ echo "credentials not found in native keychain"; exit 1; }} ;;
esac
"""


@pytest.mark.parametrize("field_name", ["credsStore", "credHelpers"])
def test_a_credential_helper_keeps_the_password_out_of_the_file(
    private: RegistryServer,
    tls: Tls,
    context: SourceContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    field_name: str,
) -> None:
    trust(context, private.host, tls)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/docker-credential-test"
    program.write_text(HELPER.format(kept=tmp_path / "kept"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    docker_config(tmp_path, {field_name: "test" if field_name == "credsStore" else {private.host: "test"}})

    async def main() -> None:
        assert await login(private.host, USER, PASSWORD, context.config) == "docker-credential-test"
        assert json.loads((tmp_path / "kept").read_text())["Secret"] == PASSWORD
        assert (await pull(f"{private.host}/app:1", context)).files == HELLO | BIG
        assert (await logout(private.host)).removed
        assert await find_credentials(private.host) is None

    asyncio.run(main())
    assert PASSWORD not in (tmp_path / "home/.docker/config.json").read_text()
    encoded = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert encoded not in (tmp_path / "home/.docker/config.json").read_text()


def test_tokens_are_fetched_where_the_registry_says(
    builder: Builder, image: str, tls: Tls, context: SourceContext, tmp_path: Path
) -> None:
    def give(asked: Asked, connection: socket.socket) -> None:
        body = json.dumps(
            {"token": sign_token(tls, "test issuer", "test registry", "app"), "expires_in": 300}
        )
        good = asked.headers.get("authorization") == "Basic " + base64.b64encode(b"u:p").decode()
        connection.sendall(reply(200, body.encode()) if good else reply(401))

    docker_config(tmp_path, {})
    with open_peer(give) as tokens:
        token = {
            "realm": f"http://{tokens.host}/token",
            "service": "test registry",
            "issuer": "test issuer",
            "rootcertbundle": str(tls.ca),
        }
        storage = tmp_path / "registry"
        with open_registry_server(storage) as plain:
            builder.push(image, f"docker://{plain.host}/app:1")
        with open_registry_server(storage, token=token) as server:
            error = failure(f"{server.host}/app:1", context)
            assert error.code == "registry_denied"
            auth = {"auth": base64.b64encode(b"u:p").decode()}
            docker_config(tmp_path, {"auths": {f"https://{server.host}": auth}})
            tokens.asked.clear()
            assert run_pull(f"{server.host}/app:1", context).files == HELLO | BIG
    assert len(tokens.asked) == 1
    assert (
        "scope=repository%3Aapp%3Apull" in tokens.asked[0].path
        and "service=test+registry" in tokens.asked[0].path
    )


def test_mirrors_are_asked_first_and_may_be_wrong(
    app: str, server: RegistryServer, context: SourceContext
) -> None:
    context.config.mkdir()
    with open_peer(lambda asked, connection: connection.sendall(reply(404))) as empty:
        (context.config / "registries.toml").write_text(
            f'[mirrors]\n"docker.io" = ["{empty.host}", "{server.host}/team"]\n"{server.host}" = ["{empty.host}"]\n'
        )
        assert run_pull(app, context).files == HELLO | BIG
        assert [asked.path for asked in empty.asked] == ["/v2/team/app/manifests/1.0"]
        # "docker.io/app:1.0" of a mirror that has it below team/: the mirror serves everything.
        reference = Reference("docker.io", "app", "1.0")
        pulled = asyncio.run(pull_reference(reference, context))
        assert pulled.layers == run_pull(app, context).plan.layers


async def pull_reference(
    reference: Reference, context: SourceContext, timeouts: Timeouts | None = None
) -> ImagePlan:
    async with open_registry(reference, context, timeouts) as source:
        plan = await source.resolve(AMD64, silent)
        for layer in plan.layers:
            (await source.open_layer(layer)).close()
        return plan


# Hostile answers


def forever(connection: socket.socket, head: bytes, piece: bytes, pause_s: float = 0) -> None:
    connection.sendall(head)
    while True:
        connection.sendall(piece)
        time.sleep(pause_s)


def answers(make: Callable[[Asked], bytes]) -> Callable[[Asked, socket.socket], None]:
    return lambda asked, connection: connection.sendall(make(asked))


def hostile(
    answer: Callable[[Asked, socket.socket], None], context: SourceContext
) -> tuple[Error, Peer, float]:
    begun = time.monotonic()
    with open_peer(answer) as peer, pytest.raises(Error) as caught:
        asyncio.run(pull_reference(parse_reference(f"{peer.host}/app:1"), context, QUICK))
    return caught.value, peer, time.monotonic() - begun


def goes_away(asked: Asked, connection: socket.socket) -> None:
    """Waits for the next byte, and has no answer to it."""
    connection.recv(1)


OK = b"HTTP/1.1 200 OK\r\n"
MANIFESTS: dict[str, tuple[Callable[[Asked, socket.socket], None], str]] = {
    "nothing": (lambda a, c: None, "download_failed"),
    "no HTTP": (answers(lambda a: b"SSH-2.0-OpenSSH_9.2\r\n"), "download_failed"),
    "no JSON": (answers(lambda a: reply(200, b"<html>")), "image_invalid"),
    "deep JSON": (answers(lambda a: reply(200, b'{"x":' * 100_000)), "image_invalid"),
    "too large": (answers(lambda a: OK + b"Content-Length: 5000000000\r\n\r\n"), "registry_error"),
    "endless": (lambda a, c: forever(c, OK + b"\r\n", b"{" * 65536), "registry_error"),
    "endless chunks": (
        lambda a, c: forever(
            c, OK + b"Transfer-Encoding: chunked\r\n\r\n", b"4000\r\n" + b"{" * 16384 + b"\r\n"
        ),
        "registry_error",
    ),
    "endless chunk length": (
        lambda a, c: forever(c, OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 65536),
        "download_failed",
    ),
    "endless header": (lambda a, c: forever(c, OK, b"x" * 65536), "download_failed"),
    "endless headers": (lambda a, c: forever(c, OK, b"x: y\r\n" * 1000), "download_failed"),
    "endless 100s": (lambda a, c: forever(c, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), "download_failed"),
    "slow header": (lambda a, c: forever(c, OK, b"x", 0.05), "download_failed"),
    "slow body": (
        lambda a, c: forever(c, OK + b"Content-Length: 100000\r\n\r\n", b" ", 0.05),
        "download_failed",
    ),
    "no answer": (goes_away, "download_failed"),
    "redirects": (answers(lambda a: reply(307, Location=a.path)), "registry_error"),
    "redirect nowhere": (answers(lambda a: reply(302, Location="http://[")), "registry_error"),
    "redirect to a file": (answers(lambda a: reply(302, Location="file:///etc/passwd")), "registry_error"),
    "redirect without TLS": (answers(lambda a: reply(302, Location="http://192.0.2.1/")), "tls_failed"),
    "odd log-in": (answers(lambda a: reply(401, WWW_Authenticate="Negotiate")), "registry_error"),
    "no realm": (answers(lambda a: reply(401, WWW_Authenticate='Bearer service="x"')), "registry_error"),
    "basic": (answers(lambda a: reply(401, WWW_Authenticate='Basic realm="x"')), "registry_denied"),
    "busy": (answers(lambda a: reply(429, Retry_After="3600")), "registry_busy"),
    "broken": (answers(lambda a: reply(503)), "download_failed"),
    "forbidden": (answers(lambda a: reply(403)), "registry_denied"),
    "a teapot": (answers(lambda a: reply(418)), "registry_error"),
    "announced wrongly": (
        answers(lambda a: reply(200, b"{}", Docker_Content_Digest="sha256:" + "0" * 64)),
        "registry_error",
    ),
    "two lengths": (
        answers(lambda a: OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
        "download_failed",
    ),
    "schema 1": (answers(lambda a: reply(200, b'{"schemaVersion":1,"fsLayers":[]}')), "unsupported"),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_whatever_a_registry_answers_is_a_clear_error(kind: str, context: SourceContext) -> None:
    answer, code = MANIFESTS[kind]
    error, _, took_s = hostile(answer, context)
    assert error.code == code, error.message
    assert error.hint and "\n" not in error.message and len(error.message) < 500
    assert took_s < allowed_s(5)


def image_server(
    blob: bytes, layer_digest: str, size: int, serve: Callable[[Asked, socket.socket], None]
) -> Callable[[Asked, socket.socket], None]:
    """A registry with one image of one layer, whose blob `serve` answers for."""
    config = json.dumps(
        {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [digest_of(blob)]}}
    ).encode()
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": size}
    manifest = json.dumps(
        {"schemaVersion": 2, "config": {"digest": digest_of(config), "size": len(config)}, "layers": [layer]}
    ).encode()

    def answer(asked: Asked, connection: socket.socket) -> None:
        if "/manifests/" in asked.path:
            connection.sendall(reply(200, manifest))
        elif digest_of(config) in asked.path:
            connection.sendall(reply(200, config))
        else:
            serve(asked, connection)

    return answer


BLOB = os.urandom(100_000)
LENGTH = b"Content-Length: 100000\r\n\r\n"


def jump(asked: Asked) -> bytes:
    """Breaks off, then goes on somewhere else."""
    if "range" in asked.headers:
        return reply(206, BLOB, Content_Range="bytes 5-100004/100005")
    return OK + LENGTH + b"x"


BLOBS: dict[str, tuple[Callable[[Asked, socket.socket], None], str]] = {
    "other bytes": (answers(lambda a: reply(200, bytes(100_000))), "registry_error"),
    "too short": (answers(lambda a: reply(200, BLOB[:-1])), "download_failed"),
    "announced too long": (answers(lambda a: reply(200, BLOB + b"x")), "registry_error"),
    "too long": (lambda a, c: forever(c, OK + b"Connection: close\r\n\r\n", bytes(65536)), "registry_error"),
    "dripping": (lambda a, c: forever(c, OK + LENGTH, b"x", 0.05), "download_failed"),
    "not there": (answers(lambda a: reply(404)), "image_not_found"),
    "elsewhere in it": (answers(jump), "download_failed"),
}


@pytest.mark.parametrize("kind", BLOBS)
def test_a_blob_that_is_not_what_was_promised_never_gets_into_the_store(
    kind: str, context: SourceContext
) -> None:
    serve, code = BLOBS[kind]
    error, _, took_s = hostile(image_server(BLOB, digest_of(BLOB), len(BLOB), serve), context)
    assert error.code == code, error.message
    assert not context.store.have(digest_of(BLOB))
    assert took_s < allowed_s(8)


def test_a_server_that_cannot_resume_is_asked_from_the_beginning(context: SourceContext) -> None:
    tries: list[str] = []

    def serve(asked: Asked, connection: socket.socket) -> None:
        tries.append(asked.headers.get("range", ""))
        connection.sendall(reply(200, BLOB)[: 50_000 if len(tries) == 1 else None])

    with open_peer(image_server(BLOB, digest_of(BLOB), len(BLOB), serve)) as peer:
        asyncio.run(pull_reference(parse_reference(f"{peer.host}/app:1"), context, QUICK))
    assert len(tries) == 2 and tries[1].startswith("bytes=")


def test_a_redirect_takes_no_credentials_to_another_host(
    context: SourceContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "very-secret-password"
    with open_peer(answers(lambda a: reply(200, BLOB))) as elsewhere:

        def serve(asked: Asked, connection: socket.socket) -> None:
            if asked.path.endswith("/moved"):
                connection.sendall(reply(307, Location=f"http://{elsewhere.host}/blob?signature=also-secret"))
            else:
                connection.sendall(reply(307, Location=asked.path + "/moved"))

        inner = image_server(BLOB, digest_of(BLOB), len(BLOB), serve)

        def guarded(asked: Asked, connection: socket.socket) -> None:
            if "authorization" in asked.headers:
                inner(asked, connection)
            else:
                connection.sendall(reply(401, WWW_Authenticate='Basic realm="r"'))

        with open_peer(guarded) as peer:
            auth = {"auth": base64.b64encode(f"u:{secret}".encode()).decode()}
            docker_config(tmp_path, {"auths": {peer.host: auth}})
            asyncio.run(pull_reference(parse_reference(f"{peer.host}/app:1"), context))
    moved = [asked for asked in peer.asked if asked.path.endswith("/moved")]
    assert "authorization" in moved[0].headers
    assert "authorization" not in elsewhere.asked[0].headers
    for text in (secret, auth["auth"], "also-secret"):
        assert text not in caplog.text


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> str:
    """A host name that does not look like this host's."""
    resolve = socket.getaddrinfo

    def answer(host: str, *rest: Any) -> Any:
        return resolve("127.0.0.1" if host == "registry.test" else host, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return "registry.test"


def test_plain_http_of_another_host_is_spoken_only_if_asked_for(
    far_away: str, context: SourceContext
) -> None:
    with open_peer(answers(lambda a: reply(200, b"{}"))) as peer:
        source = f"{far_away}:{peer.host.rpartition(':')[2]}/x"
        assert failure(source, context).code == "download_failed"
        assert peer.asked == []
        insecure = SourceContext(context.store, context.config, insecure=True)
        assert failure(source, insecure).code == "image_invalid"
        context.config.mkdir()
        (context.config / "registries.toml").write_text(f'insecure = ["{far_away}"]')
        assert failure(source, context).code == "image_invalid"


def test_a_plain_server_is_told_from_one_that_hangs_up(
    far_away: str, server: RegistryServer, context: SourceContext
) -> None:
    error = failure(f"{far_away}:{server.host.rpartition(':')[2]}/x", context)
    assert error.code == "tls_failed" and "--insecure" in error.hint


@pytest.mark.parametrize("status", [307, 401])
def test_another_host_cannot_send_us_to_this_one(far_away: str, context: SourceContext, status: int) -> None:
    with open_peer(answers(lambda a: reply(200, b"{}"))) as own:
        url = f"http://{own.host}/secret"
        answer = reply(status, Location=url, WWW_Authenticate=f'Bearer realm="{url}"')
        with open_peer(answers(lambda a: answer)) as peer:
            insecure = SourceContext(context.store, context.config, insecure=True)
            error = failure(f"{far_away}:{peer.host.rpartition(':')[2]}/x", insecure)
        assert error.code == "registry_error" and "this very host" in error.message
        assert own.asked == []


def test_a_realm_that_floods_is_refused(context: SourceContext) -> None:
    def answer(asked: Asked, connection: socket.socket) -> None:
        if asked.path.startswith("/token"):
            forever(connection, OK + b"\r\n", b"{" * 65536)
        host = asked.headers["host"]
        connection.sendall(reply(401, WWW_Authenticate=f'Bearer realm="http://{host}/token",service="s"'))

    error, _, _ = hostile(answer, context)
    assert error.code == "registry_error" and "65536" in error.message


@pytest.mark.parametrize("token", ['"a\\r\\nX: y"', '""', "7", '"a b"', "null"])
def test_a_token_that_is_none_is_refused(context: SourceContext, token: str) -> None:
    def answer(asked: Asked, connection: socket.socket) -> None:
        host = asked.headers["host"]
        challenge = f'Bearer realm="http://{host}/token"'
        body = f'{{"token": {token}}}'.encode()
        connection.sendall(
            reply(200, body) if "/token" in asked.path else reply(401, WWW_Authenticate=challenge)
        )

    error, _, _ = hostile(answer, context)
    assert error.code == "registry_error"


def test_a_token_that_ends_during_a_pull_is_fetched_anew(context: SourceContext) -> None:
    given: list[str] = []

    def serve(asked: Asked, connection: socket.socket) -> None:
        connection.sendall(reply(200, BLOB))

    inner = image_server(BLOB, digest_of(BLOB), len(BLOB), serve)

    def answer(asked: Asked, connection: socket.socket) -> None:
        if asked.path.startswith("/token"):
            given.append(f"t{len(given)}")
            connection.sendall(
                reply(200, json.dumps({"access_token": given[-1], "expires_in": 300}).encode())
            )
        elif asked.headers.get("authorization") == f"Bearer t{1 if '/blobs/' in asked.path else 0}":
            inner(asked, connection)
        else:
            challenge = (
                f'Bearer realm="http://{asked.headers["host"]}/token",scope="repository:app:pull,push"'
            )
            connection.sendall(reply(401, WWW_Authenticate=challenge))

    with open_peer(answer) as peer:
        asyncio.run(pull_reference(parse_reference(f"{peer.host}/app:1"), context))
    assert given == ["t0", "t1"]
    assert not [asked for asked in peer.asked if "push" in asked.path]


def test_a_tls_server_that_is_not_asked_in_plain(tls: Tls, context: SourceContext) -> None:
    """A loopback registry whose certificate is wrong is not spoken to without TLS instead."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(tls.certificate, tls.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted: list[bytes] = []

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                accepted.append(connection.recv(1, socket.MSG_PEEK))
                with pytest.raises((ssl.SSLError, OSError)):
                    server_side.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=accept)
        thread.start()
        error = failure(f"127.0.0.1:{listener.getsockname()[1]}/x", context)
        thread.join()
    assert error.code == "tls_failed" and accepted == [b"\x16"]
