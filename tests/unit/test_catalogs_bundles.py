"""Images and kernels from one host to another: published into a directory, served on loopback, pulled, or refused."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import msgspec
import pytest

from banger.bundles.members import BundleFile
from banger.bundles.writer import pack
from banger.catalogs.index import parse_index
from banger.catalogs.minisign import parse_secret_key, sign
from banger.catalogs.publication import Publication
from banger.engine import publishing
from banger.errors import Error
from banger.host import cpu
from banger.host.fs import PARTIAL
from banger.host.sparse import data_extents
from banger.images.fetch import retries
from banger.images.records.library import Wish
from banger.model.catalog import BundleSource, ImageEntry, VerifyRequest
from banger.model.image import Image, ImageConfig, Kernel
from banger.model.sizes import KIB, MIB
from tests.support.catalog_host import Host
from tests.support.catalogs import Clock
from tests.support.registry import require_tools
from tests.support.registry_peers import Asked, open_peer
from tests.support.web import Web


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "pause", lambda *_: 0.01)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lab.key and lab.pub, as minisign makes them."""
    require_tools("minisign")
    directory = tmp_path_factory.mktemp("keys")
    argv = ["minisign", "-G", "-W", "-p", "lab.pub", "-s", "lab.key"]
    subprocess.run(argv, cwd=directory, check=True, capture_output=True)
    return directory


@pytest.fixture
def maker(tmp_path: Path) -> Host:
    return Host(tmp_path / "maker")


@pytest.fixture
def taker(tmp_path: Path) -> Host:
    return Host(tmp_path / "taker")


@pytest.fixture
def lab(web: Web, maker: Host, keys: Path, tmp_path: Path) -> Path:
    """A catalog with the image "app"."""
    disk = tmp_path / "disk.ext4"
    with open(disk, "wb") as file:
        file.truncate(64 * MIB)
        file.seek(1080)
        file.write(b"\x53\xef")
        file.seek(8 * MIB)
        file.write(os.urandom(3 * MIB))
    config = ImageConfig(cmd=["/bin/app"], env=["A=b"])
    asyncio.run(maker.images.register(disk, "app", "made for a test", config))
    directory = web.directory / "lab"
    maker.publish("image", "app", directory=str(directory), catalog="lab", key_file=str(keys / "lab.key"))
    return directory


def add(host: Host, web: Web, keys: Path) -> None:
    asyncio.run(host.shelf.add(f"{web.url}/lab", (keys / "lab.pub").read_text()))


def bundle_of(lab: Path) -> Path:
    (only,) = (lab / "bundles").iterdir()
    return only


def sign_anew(lab: Path, keys: Path, index: dict[str, Any]) -> None:
    data = json.dumps(index).encode()
    secret = parse_secret_key((keys / "lab.key").read_text())
    (lab / "index.json").write_bytes(data)
    (lab / "index.json.minisig").write_bytes(sign(secret, data, "x"))


def refusal(host: Host, ref: str = "app") -> str:
    with pytest.raises(Error) as caught:
        host.pull(ref)
    assert host.leftovers() == [] and host.images.list() == []
    return caught.value.code


def test_an_image_arrives_as_it_was(lab: Path, web: Web, maker: Host, taker: Host, keys: Path) -> None:
    add(taker, web, keys)
    image = taker.pull("app")
    original = maker.images.get("app")
    assert taker.images.disk(image).read_bytes() == maker.images.disk(original).read_bytes()
    with open(taker.images.disk(image), "rb") as file:
        assert sum(end - begin for begin, end in data_extents(file.fileno())) < 8 * MIB
    assert image.config == original.config and image.catalog == "lab"
    assert image.source.startswith("catalog lab, bundle sha256:")
    assert taker.pull("app") == image and web.count(".tar.zst") == 1
    assert [offer.here for offer in taker.images.offers("app")] == [True]
    assert taker.leftovers() == [f"{image.digest}.ext4"]


def test_minisign_agrees_and_everybody_may_read_it(lab: Path, keys: Path) -> None:
    argv = ["minisign", "-Vm", str(lab / "index.json"), "-p", str(keys / "lab.pub")]
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 0
    for path in (lab, lab / "bundles", lab / "index.json", lab / "index.json.minisig", bundle_of(lab)):
        assert path.stat().st_mode & 0o044 == 0o044, path
    assert [path.name for path in lab.rglob(".*")] == []


def test_a_download_that_breaks_off_goes_on_where_it_was(
    lab: Path, web: Web, taker: Host, keys: Path
) -> None:
    add(taker, web, keys)
    web.cuts, web.cut_after = 2, MIB
    taker.pull("app")
    begins = [begin for path, begin in web.asked if path.endswith(".tar.zst")]
    assert begins[0] == 0 and begins[1] >= MIB and len(begins) == 3


def test_a_later_pull_goes_on_where_an_earlier_one_gave_up(
    lab: Path, web: Web, taker: Host, keys: Path, tmp_path: Path
) -> None:
    add(taker, web, keys)
    web.cuts, web.cut_after = retries.FOR_BLOBS.attempts, 100 * KIB
    assert refusal(taker) == "download_failed"
    got = web.asked[-1][1]
    Host(tmp_path / "taker").pull("app")  # a daemon that was started anew
    assert web.asked[-1][1] >= got + 100 * KIB > 200 * KIB


def test_what_was_downloaded_once_needs_no_server_and_that_is_said(
    lab: Path, web: Web, tmp_path: Path, keys: Path
) -> None:
    clock = Clock()
    taker = Host(tmp_path / "taker", clock)
    add(taker, web, keys)
    first = taker.pull("app")
    lab.rename(tmp_path / "taken away")
    asyncio.run(taker.images.delete("app", lambda image: []))
    assert ("cache", "the bundle of app is here") not in taker.report.told
    clock.ahead_s = 2 * 3600
    assert taker.pull("app").digest == first.digest
    assert ("cache", "the bundle of app is here") in taker.report.told
    (warning,) = taker.report.warnings
    assert "from the cache" in warning
    assert web.count(".tar.zst") == 1


def test_a_buckets_pass_goes_to_every_file(lab: Path, web: Web, taker: Host, keys: Path) -> None:
    asyncio.run(taker.shelf.add(f"{web.url}/lab?pass=1", (keys / "lab.pub").read_text()))
    taker.pull("app")
    bundle = f"/lab/bundles/{bundle_of(lab).name}?pass=1"
    asked = [path for path, _ in web.asked]
    assert asked == ["/lab/index.json.minisig?pass=1", "/lab/index.json?pass=1", bundle]


def test_a_name_that_will_not_do_is_said_before_the_download(
    lab: Path, web: Web, taker: Host, keys: Path
) -> None:
    add(taker, web, keys)
    with pytest.raises(Error) as caught:
        taker.pull("app", Wish(name="debian-bookworm"))
    assert caught.value.code == "name_taken" and web.count(".tar.zst") == 0


def test_two_who_pull_at_once_share_one_download(
    lab: Path, web: Web, taker: Host, keys: Path, tmp_path: Path
) -> None:
    """Two daemons, even, as long as they share a cache."""
    add(taker, web, keys)
    other = Host(tmp_path / "taker")

    async def main() -> list[Image]:
        return await asyncio.gather(*(host.images.pull("app", host.report) for host in (taker, other)))

    first, second = asyncio.run(main())
    assert first.digest == second.digest and web.count(".tar.zst") == 1


@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "swapped", "empty", "gone"])
def test_a_bad_bundle_is_never_there(lab: Path, web: Web, taker: Host, keys: Path, damage: str) -> None:
    add(taker, web, keys)
    bundle = bundle_of(lab)
    data = bundle.read_bytes()
    middle = len(data) // 2
    bundle.chmod(0o644)
    match damage:
        case "flipped":
            bundle.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
        case "cut":
            bundle.write_bytes(data[:middle])
        case "longer":
            bundle.write_bytes(data + b"x")
        case "swapped":
            bundle.write_bytes(os.urandom(len(data)))
        case "empty":
            bundle.write_bytes(b"")
        case "gone":
            bundle.unlink()
    assert refusal(taker) == "download_failed"
    bundle.write_bytes(data)
    assert taker.pull("app").catalog == "lab"


@pytest.mark.parametrize("announced", [True, False])
def test_no_more_than_the_bundle_is_taken(
    lab: Path, web: Web, taker: Host, keys: Path, announced: bool
) -> None:
    """Also where the server does not say how much will come. What it has sent is in the sockets' buffers then."""
    sent = 0

    def answer(asked: Asked, connection: socket.socket) -> None:
        nonlocal sent
        length = f"Content-Length: {1 << 40}\r\n" if announced else ""
        connection.sendall(f"HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n".encode())
        while True:
            sent += connection.send(bytes(256 * KIB))

    bundle = bundle_of(lab)
    size_bytes = bundle.stat().st_size
    bundle.unlink()
    with open_peer(answer) as peer:
        index = json.loads((lab / "index.json").read_bytes())
        index["images"][0]["sources"][0]["mirrors"] = [f"http://{peer.host}/endless"]
        sign_anew(lab, keys, index)
        add(taker, web, keys)
        assert refusal(taker) == "download_failed"
        assert peer.asked[0].path == "/endless"
    assert sent < size_bytes + 16 * MIB


@pytest.mark.parametrize(
    "promised", [{"digest": "sha256:" + "ab" * 32}, {"size_bytes": 4096}, {"architecture": "mips"}]
)
def test_a_bundle_of_another_entry_is_refused(
    lab: Path, web: Web, taker: Host, keys: Path, promised: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed and whole, but not the disk that the entry promises, or for another processor; no disk is left."""
    index = json.loads((lab / "index.json").read_bytes())
    index["images"][0] |= promised
    sign_anew(lab, keys, index)
    add(taker, web, keys)
    monkeypatch.setattr(cpu, "architecture", lambda: index["images"][0]["architecture"])
    assert refusal(taker) == "bundle_invalid"
    assert not [*taker.paths.images.glob("*.ext4")]


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"format": 2},
        {"kind": "kernel"},
        {"files": []},
        {"files": [{"name": "../../evil", "size_bytes": 4, "sha256": "0" * 64}]},
        {"files": [{"name": "disk.ext4", "size_bytes": 1 << 50, "sha256": "0" * 64}]},
        {"files": [{"name": "disk.ext4", "size_bytes": 4, "sha256": "0" * 64}]},
    ],
)
def test_what_a_signed_bundle_says_is_checked_all_the_same(
    lab: Path, web: Web, taker: Host, keys: Path, tmp_path: Path, manifest: dict[str, Any]
) -> None:
    good = {"format": 1, "kind": "image", "architecture": cpu.architecture(), "config": {}}
    (tmp_path / "evil").write_bytes(b"evil")
    files = [BundleFile(name="disk.ext4", size_bytes=4, sha256="0" * 64)]
    data = json.dumps({**good, **manifest} if manifest else {}).encode()
    packed = lab / "bundles/packed"
    packed.write_bytes(b"".join(pack(data, files, [tmp_path / "evil"])))
    source = Publication(lab, None).take_bundle(packed)
    index = json.loads((lab / "index.json").read_bytes())
    index["images"][0]["sources"] = [
        {"type": "bundle", "digest": source.digest, "size_bytes": source.size_bytes}
    ]
    sign_anew(lab, keys, index)
    add(taker, web, keys)
    assert refusal(taker) == "bundle_invalid"
    assert not (tmp_path / "taker/evil").exists()


def test_sources_are_tried_in_their_order(lab: Path, web: Web, taker: Host, keys: Path) -> None:
    index = json.loads((lab / "index.json").read_bytes())
    missing = {"type": "bundle", "digest": "sha256:" + "cd" * 32, "size_bytes": 9}
    index["images"][0]["sources"].insert(0, missing)
    sign_anew(lab, keys, index)
    add(taker, web, keys)
    assert taker.pull("app").catalog == "lab"
    assert any(phase == "warning" and "another source" in message for phase, message in taker.report.told)


def test_a_mirror_has_it_too(lab: Path, web: Web, taker: Host, keys: Path) -> None:
    bundle = bundle_of(lab)
    (web.directory / "mirror").mkdir()
    bundle.rename(web.directory / "mirror/copy")
    index = json.loads((lab / "index.json").read_bytes())
    index["images"][0]["sources"][0]["mirrors"] = [f"{web.url}/mirror/copy"]
    sign_anew(lab, keys, index)
    add(taker, web, keys)
    assert taker.pull("app").catalog == "lab"


def test_a_directory_needs_no_server(lab: Path, taker: Host, keys: Path) -> None:
    asyncio.run(taker.shelf.add(f"file://{lab}", (keys / "lab.pub").read_text()))
    assert taker.pull("catalog:lab/app").name == "app"


def test_each_publication_is_a_version_and_replaces_its_own_entry(lab: Path, maker: Host, keys: Path) -> None:
    options = {"directory": str(lab), "key_file": str(keys / "lab.key")}
    maker.publish("image", "app", description="second", aliases=["latest"], **options)
    maker.publish("image", "app", entry="tool", **options)
    index = parse_index((lab / "index.json").read_bytes())
    assert index.version == 3 and [entry.name for entry in index.images] == ["app", "tool"]
    assert index.images[0].description == "second" and index.images[0].aliases == ("latest",)


def test_who_publishes_at_once_waits_for_each_other(lab: Path, keys: Path) -> None:
    """Or readers would see two indexes of one version, and believe neither."""
    source = BundleSource(digest="sha256:" + "ab" * 32, size_bytes=1)
    secret = parse_secret_key((keys / "lab.key").read_text())
    together = Barrier(8)

    def publish(name: str) -> int:
        entry = ImageEntry(name=name, architecture="amd64", sources=(source,))
        together.wait()
        return Publication(lab, secret).add(entry, time.time(), 60).version

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(publish, "abcdefgh"))
    index = Publication(lab, secret).read()
    assert index is not None
    assert sorted(versions) == list(range(2, 10)) and index.version == 9
    assert {entry.name for entry in index.images} == {"app", *"abcdefgh"}


@pytest.mark.parametrize(
    ("place", "addition", "named"),
    [
        ((), {"mood": "good"}, "/mood"),
        (("images", 0), {"colour": "red"}, "/images/0/colour"),
        (("images", 0, "sources", 0), {"torrent": 1}, "/images/0/sources/0/torrent"),
        (("images", 0), {"sources": [{"type": "torrent"}]}, "/images/0/sources"),
    ],
)
def test_what_only_a_newer_banger_knows_is_not_published_away(
    lab: Path, maker: Host, keys: Path, place: tuple[Any, ...], addition: dict[str, Any], named: str
) -> None:
    """Readers pass it over; who writes the index anew would leave it out, and sign that."""
    index = json.loads((lab / "index.json").read_bytes())
    target = index
    for step in place:
        target = target[step]
    target |= addition
    sign_anew(lab, keys, index)
    before = (lab / "index.json").read_bytes()
    with pytest.raises(Error) as caught:
        maker.publish("image", "app", entry="more", directory=str(lab), key_file=str(keys / "lab.key"))
    assert caught.value.code == "unsupported" and caught.value.message.endswith(f": {named}")
    assert (lab / "index.json").read_bytes() == before


@pytest.mark.parametrize("full_at", ["index.json-", "index.json.minisig-"])
def test_a_full_disk_parts_no_index_from_its_signature(
    lab: Path, maker: Host, keys: Path, monkeypatch: pytest.MonkeyPatch, full_at: str
) -> None:
    """Else nobody could read what is there, nor publish over it."""
    really = Path.write_bytes

    def write_bytes(path: Path, data: bytes) -> int:
        if path.name.startswith(f"{PARTIAL}{full_at}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return really(path, data)

    before = {path: path.read_bytes() for path in (lab / "index.json", lab / "index.json.minisig")}
    with monkeypatch.context() as patch, pytest.raises(Error, match="No space left") as refused:
        patch.setattr(Path, "write_bytes", write_bytes)
        maker.publish("image", "app", directory=str(lab), key_file=str(keys / "lab.key"))
    assert refused.value.code == "insufficient_disk"
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in lab.iterdir()) == ["bundles", "index.json", "index.json.minisig"]
    maker.publish("image", "app", directory=str(lab), key_file=str(keys / "lab.key"))


def test_what_a_stranger_wrote_is_not_signed(lab: Path, maker: Host, keys: Path) -> None:
    before = (lab / "index.json").read_bytes()
    (lab / "index.json").write_bytes(before.replace(b"made for a test", b"made by a rogue"))
    with pytest.raises(Error) as caught:
        maker.publish("image", "app", directory=str(lab), key_file=str(keys / "lab.key"))
    assert caught.value.code == "catalog_untrusted"


def test_without_a_key_the_index_waits_for_a_signature(maker: Host, lab: Path, keys: Path) -> None:
    maker.publish("image", "app", directory=str(lab))
    assert not (lab / "index.json.minisig").exists()
    assert any("minisign -Sm" in message for _, message in maker.report.told)
    argv = ["minisign", "-Sm", "index.json", "-s", str(keys / "lab.key")]
    subprocess.run(argv, cwd=lab, check=True, capture_output=True)
    request = VerifyRequest(directory=str(lab), key=(keys / "lab.pub").read_text())
    assert asyncio.run(publishing.verify(request, maker.report)).catalog == "lab"


@pytest.mark.parametrize("damage", ["index", "bundle", "signature"])
def test_verify_sees_what_a_reader_would(lab: Path, maker: Host, keys: Path, damage: str) -> None:
    request = VerifyRequest(directory=str(lab), key=(keys / "lab.pub").read_text())
    assert asyncio.run(publishing.verify(request, maker.report)).catalog == "lab"
    path = {"index": lab / "index.json", "bundle": bundle_of(lab), "signature": lab / "index.json.minisig"}[
        damage
    ]
    path.write_bytes(path.read_bytes()[:-9] + b"damaged!\n")
    with pytest.raises(Error) as caught:
        asyncio.run(publishing.verify(request, maker.report))
    assert caught.value.code == ("bundle_invalid" if damage == "bundle" else "catalog_untrusted")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"directory": "relative"}, "bad_request"),
        ({"directory": "/dev/null/x", "catalog": "lab"}, "file_not_found"),
        ({"directory": "NEW"}, "bad_name"),
        ({"directory": "NEW", "catalog": "builtin"}, "bad_name"),
        ({"directory": "NEW", "catalog": "lab", "key_file": "/not/there"}, "file_not_found"),
        ({"directory": "NEW", "catalog": "lab", "entry": "a/b"}, "catalog_invalid"),
    ],
)
def test_what_cannot_be_published_leaves_no_index(
    lab: Path, maker: Host, tmp_path: Path, options: dict[str, str], code: str
) -> None:
    directory = options["directory"].replace("NEW", str(tmp_path / "new"))
    with pytest.raises(Error) as caught:
        maker.publish("image", "app", **{**options, "directory": directory})
    assert caught.value.code == code
    assert not (tmp_path / "new/index.json").exists()


def make_kernel(host: Host, order: str = "virtio_blk.ko\n") -> Kernel:
    kernel = Kernel(
        name="own",
        digest="f" * 64,
        architecture=cpu.architecture(),
        release="6.1.0-x",
        version="6.1",
        size_bytes=1,
        source="a test",
        created="2026-01-01T00:00:00Z",
    )
    directory = host.kernels.directory(kernel)
    (directory / "modules").mkdir(parents=True)
    texts = {"vmlinux": "\x7fELF", "config": "y", "modules.ext4": "m", "order": order, "vsock": ""}
    for name, text in {**texts, "modules/virtio_blk.ko": "ko"}.items():
        (directory / name).write_text(text)
    host.kernel_records.put(kernel)
    return kernel


def test_a_kernel_travels_with_its_modules(lab: Path, web: Web, maker: Host, taker: Host, keys: Path) -> None:
    kernel = make_kernel(maker)
    maker.publish("kernel", "own", directory=str(lab), key_file=str(keys / "lab.key"))
    add(taker, web, keys)
    pulled = asyncio.run(taker.kernels.pull("own", taker.report))
    assert (pulled.release, pulled.version, pulled.catalog) == (kernel.release, kernel.version, "lab")
    directory = taker.kernels.directory(pulled)
    for name in ("vmlinux", "config", "modules.ext4", "order", "vsock", "modules/virtio_blk.ko"):
        original = maker.kernels.directory(kernel) / name
        assert (directory / name).read_bytes() == original.read_bytes(), name
    assert asyncio.run(taker.kernels.pull("own", taker.report)) == pulled
    assert taker.leftovers() == [pulled.digest]


def test_a_kernel_of_another_catalog_is_not_this_ones(
    lab: Path, web: Web, maker: Host, taker: Host, keys: Path
) -> None:
    """What was pulled from a catalog stays when that is removed, and its name may mean another's entry then."""
    make_kernel(maker)
    maker.publish("kernel", "own", directory=str(lab), key_file=str(keys / "lab.key"))
    add(taker, web, keys)
    pulled = asyncio.run(taker.kernels.pull("own", taker.report))
    taker.kernel_records.put(msgspec.structs.replace(pulled, catalog="other", source="elsewhere"))
    assert taker.kernels.get("own").catalog == "other"
    with pytest.raises(Error) as caught:
        taker.kernels.get("catalog:lab/own")
    assert caught.value.code == "kernel_not_found"
    asyncio.run(taker.kernels.ensure("catalog:lab/own", taker.report))
    assert taker.kernels.get("catalog:lab/own").catalog == "lab"


@pytest.mark.parametrize("order", ["../../../etc/shadow\n", "/etc/shadow\n", "other.ko\n", "VIRTIO.ko\n"])
def test_a_kernels_lists_name_only_what_came_with_it(
    lab: Path, web: Web, maker: Host, taker: Host, keys: Path, order: str
) -> None:
    make_kernel(maker, order)
    maker.publish("kernel", "own", directory=str(lab), key_file=str(keys / "lab.key"))
    add(taker, web, keys)
    with pytest.raises(Error) as caught:
        asyncio.run(taker.kernels.pull("own", taker.report))
    assert caught.value.code == "bundle_invalid"
    assert taker.leftovers() == [] and taker.kernels.list() == []
