"""Entries of catalogs that a registry has: Debian's docker-registry and a catalog's web server, both on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from banger.catalogs.addresses import bundle_path
from banger.errors import Error
from banger.host import cpu
from banger.images.fetch import retries
from banger.images.records.library import Wish
from banger.images.reference.documents import digest_of
from banger.model.image import Image
from banger.model.sizes import KIB, MIB
from tests.support.catalog_host import Host
from tests.support.catalogs import Clock, Publisher, image_entry
from tests.support.registry import RegistryServer, open_registry_server
from tests.support.registry_images import Builder
from tests.support.registry_peers import open_cutter
from tests.support.web import Web

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

HERE = cpu.architecture()
ELSEWHERE = "arm64" if HERE == "amd64" else "amd64"
FILES = {"hello": b"hello\n", "big": os.urandom(MIB)}
NOWHERE = "sha256:" + "cd" * 32
MISSING = {"type": "bundle", "digest": NOWHERE, "size_bytes": 9}


@dataclass(frozen=True)
class Pushed:
    """An image in the registry: `place` is host/repository, without tag and digest."""

    place: str
    digest: str

    @property
    def reference(self) -> str:
        return f"{self.place}@{self.digest}"

    @property
    def source(self) -> dict[str, Any]:
        return {"type": "oci", "reference": self.reference}


@pytest.fixture(scope="module")
def local_app(builder: Builder) -> str:
    """In buildah's storage."""
    return builder.image("app", [FILES], "--cmd", '["/hello"]', "--env", "A=b", arch=HERE)


@pytest.fixture(scope="module")
def app(builder: Builder, local_app: str, server: RegistryServer) -> Pushed:
    return push(builder, local_app, server, "team/app:1")


@pytest.fixture(scope="module")
def other(builder: Builder, server: RegistryServer) -> Pushed:
    return push(builder, builder.image("other", [{"other": b"other\n"}], arch=HERE), server, "team/app:2")


@pytest.fixture
def lab(web: Web) -> Publisher:
    return Publisher(web.directory / "lab")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "host")


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials of who runs the tests; no long pauses between attempts."""
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(retries, "pause", lambda *_: 0.01)


def push(builder: Builder, image: str, server: RegistryServer, where: str) -> Pushed:
    builder.push(image, f"docker://{server.host}/{where}")
    return look_up(server, where)


def look_up(server: RegistryServer, where: str) -> Pushed:
    return Pushed(f"{server.host}/{where.partition(':')[0]}", server.digest_of(where))


def offer(
    host: Host, web: Web, publisher: Publisher, *sources: dict[str, Any], name: str = "app", **fields: Any
) -> None:
    """A catalog with one entry, added to a host."""
    publisher.publish(image_entry(name, sources=list(sources), **{"architecture": HERE, **fields}))
    asyncio.run(host.shelf.add(f"{web.url}/{publisher.directory.name}", publisher.public))


def refusal(host: Host, ref: str = "app", wish: Wish | None = None) -> Error:
    """Of a pull, after which nothing is there."""
    with pytest.raises(Error) as caught:
        host.pull(ref, wish)
    assert host.images.list() == [] and host.leftovers() == []
    assert not any(offered.here for offered in host.images.offers())
    return caught.value


def made_of(image: Image) -> tuple[object, ...]:
    return image.digest, image.manifest_digest, image.layers, image.config, image.size_bytes, image.source


def blob_file(server: RegistryServer, digest: str) -> Path:
    hex_digits = digest.removeprefix("sha256:")
    return server.storage / f"docker/registry/v2/blobs/sha256/{hex_digits[:2]}/{hex_digits}/data"


@contextmanager
def replaced(path: Path, data: bytes) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("loopback", ["127.0.0.1", "localhost"])
def test_an_entry_brings_what_its_digest_names(
    host: Host, web: Web, lab: Publisher, app: Pushed, tmp_path: Path, loopback: str
) -> None:
    """Over plain HTTP, as `image pull` of the reference itself does, and with the same outcome."""
    there = Pushed(app.place.replace("127.0.0.1", loopback), app.digest)
    offer(host, web, lab, there.source, kernel="debian-cloud-trixie", init="image")
    image = host.pull("app")
    assert (image.name, image.catalog, image.source) == ("app", "lab", there.reference)
    assert (image.manifest_digest, image.kernel, image.init) == (app.digest, "debian-cloud-trixie", "image")
    assert (image.config.cmd, image.config.env) == (["/hello"], ["A=b"])
    assert host.images.list() == [image] and host.leftovers() == [f"{image.digest}.ext4"]
    assert [offered.here for offered in host.images.offers("app")] == [True]
    direct = Host(tmp_path / "direct").pull(there.reference)
    assert made_of(direct) == made_of(image) and direct.catalog == ""


def test_the_digest_counts_wherever_the_tag_went(
    host: Host, web: Web, lab: Publisher, builder: Builder, local_app: str, server: RegistryServer
) -> None:
    first = push(builder, local_app, server, "moving:1")
    second = push(builder, builder.image("moved", [{"moved": b""}], arch=HERE), server, "moving:1")
    assert first.digest != second.digest
    tagged = {"type": "oci", "reference": f"{first.place}:1@{first.digest}"}
    offer(host, web, lab, tagged)
    assert host.pull("app").manifest_digest == first.digest


def test_a_tag_of_another_digest_is_not_taken_instead(
    host: Host, web: Web, lab: Publisher, app: Pushed
) -> None:
    offer(host, web, lab, {"type": "oci", "reference": f"{app.place}:1@{NOWHERE}"})
    error = refusal(host)
    assert error.code == "image_not_found" and NOWHERE in error.message


@pytest.mark.parametrize(
    ("part", "damage", "code"),
    [
        ("manifest", "flipped", "registry_error"),
        ("manifest", "swapped", "registry_error"),
        ("manifest", "cut", "download_failed"),  # the registry itself stumbles over it
        ("config", "flipped", "registry_error"),
        ("config", "cut", "download_failed"),
        ("layer", "flipped", "registry_error"),
        ("layer", "swapped", "download_failed"),  # by a shorter one
        ("layer", "cut", "download_failed"),
    ],
)
def test_what_is_not_of_the_digest_is_refused(
    host: Host,
    web: Web,
    lab: Publisher,
    app: Pushed,
    other: Pushed,
    server: RegistryServer,
    part: str,
    damage: str,
    code: str,
) -> None:
    """A registry that serves other bytes by that digest: its own files are changed."""
    offer(host, web, lab, app.source)
    path = part_of(server, app, part)
    whole = path.read_bytes()
    middle = len(whole) // 2
    data = {
        "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "cut": whole[:middle],
        "swapped": part_of(server, other, part).read_bytes(),
    }[damage]
    with replaced(path, data):
        assert refusal(host).code == code
    assert host.pull("app").manifest_digest == app.digest


def part_of(server: RegistryServer, pushed: Pushed, part: str) -> Path:
    """The registry's file of an image's manifest, configuration or only layer."""
    manifest = blob_file(server, pushed.digest)
    table = json.loads(manifest.read_bytes())
    digests = {"config": table["config"]["digest"], "layer": table["layers"][0]["digest"]}
    return manifest if part == "manifest" else blob_file(server, digests[part])


def test_one_digest_may_stand_for_several_processors(
    host: Host, web: Web, lab: Publisher, builder: Builder, server: RegistryServer
) -> None:
    """That an image of this digest is here says nothing of the one for another processor."""
    images = [builder.image("multi", [{"arch": arch.encode()}], arch=arch) for arch in (HERE, ELSEWHERE)]
    builder.push_index(images, f"docker://{server.host}/multi:1")
    source = look_up(server, "multi:1").source
    entries = [image_entry("app", sources=[source], architecture=arch) for arch in (HERE, ELSEWHERE, "s390x")]
    lab.publish(*entries)
    asyncio.run(host.shelf.add(f"{web.url}/lab", lab.public))
    own = host.pull("app")
    foreign = host.pull("app", Wish(platform=f"linux/{ELSEWHERE}"))
    assert (own.name, own.architecture) == ("app", HERE)
    assert (foreign.name, foreign.architecture) == (f"app-{ELSEWHERE}", ELSEWHERE)
    assert foreign.digest != own.digest
    named = Wish(name="mine", platform=f"linux/{ELSEWHERE}")
    assert host.pull("app", named).digest == foreign.digest
    assert host.pull("app", Wish(name="mine")).digest == own.digest
    with pytest.raises(Error) as caught:
        host.pull("app", Wish(platform="linux/s390x"))
    assert caught.value.code == "platform_not_found"


def test_what_needs_a_newer_banger_is_not_even_asked_for(
    host: Host, web: Web, lab: Publisher, app: Pushed, server: RegistryServer
) -> None:
    with open_cutter(server.host, []) as between:
        place = app.place.replace(server.host, between.host)
        offer(host, web, lab, MISSING, Pushed(place, app.digest).source, min_banger="99.1")
        error = refusal(host)
        assert error.code == "unsupported" and "99.1" in error.message
        assert between.asked == [] and web.count(".tar.zst") == 0


# Several sources


@pytest.mark.parametrize("damage", ["missing", "flipped", "cut", "empty"])
def test_without_a_good_bundle_the_registry_is_asked(
    host: Host, web: Web, lab: Publisher, app: Pushed, damage: str
) -> None:
    data = os.urandom(64 * KIB)
    bundle = {"type": "bundle", "digest": digest_of(data), "size_bytes": len(data)}
    bad = {"flipped": data[:-1] + bytes([data[-1] ^ 1]), "cut": data[:-1], "empty": b""}
    if damage in bad:
        place_bundle(lab, digest_of(data), bad[damage])
    offer(host, web, lab, bundle, app.source)
    image = host.pull("app")
    assert (image.name, image.catalog, image.manifest_digest) == ("app", "lab", app.digest)
    (warning,) = host.report.warnings
    assert warning.startswith(f"app: bundle {digest_of(data)[:19]}: ") and warning.endswith(
        "; trying another source"
    )
    assert host.leftovers() == [f"{image.digest}.ext4"]


def test_a_bundle_that_is_whole_and_no_image_is_passed_over_too(
    host: Host, web: Web, lab: Publisher, app: Pushed
) -> None:
    """Its digest is the one that was signed, but there is nothing in it."""
    data = b"not what a bundle is"
    place_bundle(lab, digest_of(data), data)
    bundle = {"type": "bundle", "digest": digest_of(data), "size_bytes": len(data)}
    offer(host, web, lab, bundle, app.source)
    assert host.pull("app").manifest_digest == app.digest
    assert len(host.report.warnings) == 1 and "zstd" in host.report.warnings[0]


def place_bundle(publisher: Publisher, digest: str, data: bytes) -> None:
    path = publisher.directory / bundle_path(digest)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def test_a_registry_that_fails_is_passed_over_for_the_next(
    host: Host, web: Web, lab: Publisher, app: Pushed
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"127.0.0.1:{listener.getsockname()[1]}"
    gone = {"type": "oci", "reference": f"{nobody}/team/app@{app.digest}"}
    offer(host, web, lab, gone, app.source)
    image = host.pull("app")
    assert image.source == app.reference
    (warning,) = host.report.warnings
    assert warning.startswith("app: oci: ") and nobody in warning


def test_where_no_source_works_each_is_named_and_nothing_is_there(
    host: Host, web: Web, lab: Publisher, app: Pushed
) -> None:
    absent = {"type": "oci", "reference": f"{app.place}@{NOWHERE}"}
    offer(host, web, lab, MISSING, absent)
    error = refusal(host)
    assert error.code == "image_not_found"
    whole = f"cannot fetch app from any of its 2 sources: bundle sha256:cdcdcdcdcdcd: .*; oci: .*{NOWHERE}.*"
    assert re.fullmatch(whole, error.message)
    tables = error.details["sources"]
    assert isinstance(tables, list)
    assert [(table["type"], table["code"]) for table in tables] == [
        ("bundle", "download_failed"),
        ("oci", "image_not_found"),
    ]


def test_an_entry_names_registries_and_no_files_of_this_host(
    host: Host, web: Web, lab: Publisher, builder: Builder, local_app: str, app: Pushed, tmp_path: Path
) -> None:
    """There is an image at that path, whose digest nobody would compare."""
    tag = f"x@{NOWHERE}"
    builder.push(local_app, f"oci:{tmp_path}/layout:x")
    index = json.loads((tmp_path / "layout/index.json").read_bytes())
    index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] = tag
    (tmp_path / "layout/index.json").write_text(json.dumps(index))
    assert Host(tmp_path / "other").pull(f"oci:{tmp_path}/layout:{tag}", Wish(name="x")).layers == 1
    file = {"type": "oci", "reference": f"oci:{tmp_path}/layout:{tag}"}
    offer(host, web, lab, file)
    assert refusal(host).code == "catalog_invalid"
    lab.publish(image_entry(sources=[file, app.source], architecture=HERE))
    asyncio.run(host.shelf.refresh("lab"))
    assert host.pull("app").manifest_digest == app.digest


def test_what_is_wrong_with_the_wish_is_no_fault_of_a_source(
    host: Host, web: Web, lab: Publisher, app: Pushed
) -> None:
    offer(host, web, lab, app.source, MISSING)
    error = refusal(host, wish=Wish(name="app@sha256:x"))
    assert error.code == "bad_reference" and host.report.warnings == []


# Precedence, caches, other ways to a registry


def test_of_two_catalogs_with_one_name_the_first_is_asked_and_the_other_can_be(
    host: Host, web: Web, lab: Publisher, app: Pushed, other: Pushed
) -> None:
    offer(host, web, lab, app.source)
    offer(host, web, Publisher(web.directory / "two", "two"), other.source, aliases=["two-app"])
    first, second = host.pull("app"), host.pull("catalog:two/app")
    assert (first.name, first.catalog, first.manifest_digest) == ("app", "lab", app.digest)
    assert (second.name, second.catalog) == ("catalog:two/app", "two")
    assert second.manifest_digest == other.digest
    assert host.pull("two-app") == second and host.images.get("app") == first
    here = {offered.ref: offered.catalog for offered in host.images.offers("app") if offered.here}
    assert here == {"app": "lab", "catalog:two/app": "two"}


def test_what_is_left_of_a_removed_catalog_is_not_taken_for_anothers(
    host: Host, web: Web, lab: Publisher, app: Pushed, other: Pushed
) -> None:
    offer(host, web, lab, app.source)
    offer(host, web, Publisher(web.directory / "two", "two"), other.source)
    host.pull("app")
    host.shelf.remove("lab")
    assert host.images.get("app").catalog == "lab"  # what was pulled stays
    assert host.images.find("catalog:two/app") is None
    image = asyncio.run(host.images.ensure("catalog:two/app", host.report))
    assert (image.catalog, image.manifest_digest) == ("two", other.digest)
    assert host.images.find("catalog:two/app") == image


def test_an_image_that_is_here_needs_no_registry(
    web: Web, lab: Publisher, builder: Builder, local_app: str, tmp_path: Path
) -> None:
    """Nor its catalog; but that this could not be asked is said."""
    clock = Clock()
    host = Host(tmp_path / "host", clock)
    with open_registry_server(tmp_path / "registry") as server:
        offer(host, web, lab, push(builder, local_app, server, "app:1").source)
        image = host.pull("app")
    lab.directory.rename(tmp_path / "taken away")
    assert host.pull("app") == image and host.report.warnings == []
    clock.ahead_s = 2 * 3600
    assert host.pull("app") == image
    (warning,) = host.report.warnings
    assert "catalog lab: using its index of" in warning and "from the cache" in warning
    assert host.pull("app", Wish(force=True)).digest == image.digest
    asyncio.run(host.images.delete("app", lambda _: []))
    assert host.pull("app").digest == image.digest, "made anew of what the cache has"
    asyncio.run(host.images.delete("app", lambda _: []))
    host.images.blobs().prune()
    with pytest.raises(Error) as caught:
        host.pull("app")
    assert caught.value.code == "download_failed" and host.images.list() == []


def test_a_disk_of_another_size_is_made_of_what_the_cache_has(
    host: Host, web: Web, lab: Publisher, app: Pushed
) -> None:
    offer(host, web, lab, app.source)
    usual = host.pull("app")
    large = host.pull("app", Wish(size_bytes=256 * MIB))
    assert large.size_bytes == 256 * MIB != usual.size_bytes
    assert host.pull("app") == large


def test_two_who_pull_at_once_share_what_they_fetch_and_it_is_resumed(
    host: Host, web: Web, lab: Publisher, app: Pushed, server: RegistryServer, tmp_path: Path
) -> None:
    """Two daemons, even, as long as they share a cache. The first layer breaks off once."""
    with open_cutter(server.host, [1 << 40, 256 * KIB]) as between:
        offer(host, web, lab, Pushed(app.place.replace(server.host, between.host), app.digest).source)
        second = Host(tmp_path / "host")

        async def main() -> list[Image]:
            return list(
                await asyncio.gather(*(each.images.pull("app", each.report) for each in (host, second)))
            )

        one, two = asyncio.run(main())
        blobs = [asked for asked in between.asked if "/blobs/" in asked.path]
    assert one.digest == two.digest and one.manifest_digest == app.digest
    ranges = [asked.headers.get("range", "") for asked in blobs]
    assert len(blobs) == 3 and ranges[:2] == ["", ""] and ranges[2].startswith("bytes=")


def test_mirrors_are_those_of_registries(
    host: Host, web: Web, lab: Publisher, app: Pushed, server: RegistryServer
) -> None:
    host.paths.config.mkdir(parents=True)
    mirrors = f'[mirrors]\n"registry.example.org" = ["https://{server.host}"]\n'
    (host.paths.config / "registries.toml").write_text(mirrors)
    reference = f"registry.example.org/team/app@{app.digest}"
    offer(host, web, lab, {"type": "oci", "reference": reference})
    image = host.pull("app")
    assert (image.source, image.manifest_digest) == (reference, app.digest)
