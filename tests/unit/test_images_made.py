"""Layers made of two trees, and the documents that belong to them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from banger.errors import Error
from banger.images.disks.source import SourceContext
from banger.images.fetch.blobs import BlobStore
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.lifeline import Lifeline
from banger.images.made.archive import stream_archive
from banger.images.made.documents import Layered, write_documents
from banger.images.made.layer import make_layer
from banger.images.made.pushing import hold
from banger.images.records.sources.opening import open_source
from banger.images.reference.documents import (
    DOCKER_MANIFEST,
    LAYER_TAR,
    LAYER_ZSTD,
    Documents,
    Layer,
    digest_of,
    parse_config,
    parse_document,
)
from banger.images.reference.platform import Platform
from banger.images.reference.reference import parse_source
from banger.model.image import Image, ImageConfig
from banger.tar.entry import Entry
from banger.tar.kind import Kind
from banger.tar.writer import END, write_headers
from tests.support.reports import silent

# Name, type, contents or target.
Member = tuple[str, bytes, str]
_DIRECTORY, _FILE, _LINK, _HARD = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def tree(*members: Member, time: int = 1) -> ByteRange:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            info.type, info.mtime = kind, time
            data = text.encode() if kind == _FILE else b""
            info.size = len(data)
            if kind in (_LINK, _HARD):
                info.linkname = text
            archive.addfile(info, io.BytesIO(data))
    fd = os.memfd_create("tree", os.MFD_CLOEXEC)
    os.write(fd, packed.getvalue())
    return ByteRange(fd)


def layer_of(base: Sequence[Member] | None, upper: Sequence[Member], directory: Path) -> dict[str, str]:
    """The names in the layer, and the contents or target of each."""
    with tree(*upper) as above:
        below = tree(*base) if base is not None else None
        _, blob = make_layer(below, above, directory, 0, Lifeline())
        if below is not None:
            below.close()
    with blob, tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob.readall() or b""))) as archive:
        found = {}
        for member in archive:
            data = archive.extractfile(member) if member.isreg() else None
            found[member.name] = data.read().decode() if data is not None else member.linkname
        return found


A: Member = ("./a", _FILE, "a")
D: Member = ("d/", _DIRECTORY, "")
DX: Member = ("d/x", _FILE, "x")


@pytest.mark.parametrize(
    ("base", "upper", "expected"),
    [
        ([A], [A], {}),
        ([A], [A, D, DX], {"d": "", "d/x": "x"}),
        ([A, D, DX], [A, D], {"d/.wh.x": ""}),
        ([A, D, DX], [A], {".wh.d": ""}),
        ([A, D, DX], [A, ("d", _FILE, "now a file")], {"d": "now a file"}),
        ([A], [("a", _FILE, "b")], {"a": "b"}),
        ([A], [("a", _LINK, "b")], {"a": "b"}),
        # The same contents by another name of the same file, and names of a file that changed.
        ([A, ("b", _HARD, "a")], [A, ("b", _HARD, "a")], {}),
        ([A, ("b", _HARD, "a")], [("a", _FILE, "z"), ("b", _HARD, "./a")], {"a": "z", "b": "a"}),
        # What belongs to one machine, or is mounted in each.
        ([A], [A, ("etc/hostname", _FILE, "box"), ("dev/null", _FILE, ""), ("run/x", _FILE, "")], {}),
        (None, [A, D, DX], {"a": "a", "d": "", "d/x": "x"}),
    ],
)
def test_a_layer_has_what_changed(
    base: list[Member] | None, upper: list[Member], expected: dict[str, str], tmp_path: Path
) -> None:
    assert layer_of(base, upper, tmp_path) == expected
    assert list(tmp_path.iterdir()) == []


def test_data_that_moved_in_a_file_with_holes_is_a_change(tmp_path: Path) -> None:
    def sparse(at: int) -> ByteRange:
        entry = Entry(b"a", Kind.FILE, (0o644, 0, 0), 0, 8192)
        entry.stored, entry.segments = 512, ((at, 512),)
        return hold(write_headers(entry) + b"x" * 512 + END)

    for other, changed in ((0, []), (4096, ["a"])):
        with sparse(0) as below, sparse(other) as above:
            _, blob = make_layer(below, above, tmp_path, 0, Lifeline())
        with blob, tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob.readall() or b""))) as archive:
            assert archive.getnames() == changed


def test_the_same_trees_give_the_same_layer(tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        with tree(A, D, DX) as above:
            layer, blob = make_layer(None, above, tmp_path, 0, Lifeline())
            blob.close()
            made.append(layer)
    assert made[0] == made[1]


@pytest.mark.parametrize(
    "members",
    [
        [("../out", _FILE, "")],
        [("d/../../out", _FILE, "")],
        [A, A],
        [A, ("a", _FILE, "again")],
        [("b", _HARD, "../a")],
        [("d/.wh.x", _FILE, "")],
    ],
)
def test_a_hostile_tree_is_refused(members: list[Member], tmp_path: Path) -> None:
    with pytest.raises(Error) as caught:
        layer_of(None, members, tmp_path)
    assert caught.value.code == "image_invalid"
    assert list(tmp_path.iterdir()) == []


def test_a_tree_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    with tree(A, D, DX) as whole:
        for size in (512, 700, 1024, 2560):
            with whole.part(0, size) as part, pytest.raises(Error) as caught:
                make_layer(None, part, tmp_path, 0, Lifeline())
            assert caught.value.code == "image_invalid"


def test_the_documents_name_the_layers() -> None:
    layers = [
        Layer(
            "sha256:" + "a" * 64, 5, "application/vnd.docker.image.rootfs.diff.tar.gzip", "sha256:" + "b" * 64
        ),
        Layer("sha256:" + "c" * 64, 7, LAYER_ZSTD, "sha256:" + "d" * 64),
    ]
    image = Image(
        name="mine:1",
        digest="e" * 64,
        architecture="amd64",
        size_bytes=1,
        used_bytes=1,
        source="machine:box",
        created="2026-01-01T00:00:00Z",
        config=ImageConfig(cmd=["sh"], env=["A=1"], exposed_ports=["80/tcp"]),
    )
    made = write_documents(image, layers, {"who": "me"})
    manifest = parse_document(made.manifest)
    assert manifest.media_type == "application/vnd.oci.image.manifest.v1+json"
    described = json.loads(made.manifest)
    assert [one["digest"] for one in described["layers"]] == [layer.digest for layer in layers]
    assert described["layers"][0]["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert described["config"]["digest"] == made.config_digest
    config = parse_config(made.config)
    assert config.rootfs.diff_ids == [layer.diff_id for layer in layers]
    assert config.config is not None and config.config.labels == {"who": "me"}
    assert json.loads(made.config)["config"]["ExposedPorts"] == {"80/tcp": {}}


def layered(*contents: bytes, cmd: str = "sh") -> Layered:
    """An image whose layers are these bytes."""
    layers = [Layer(digest_of(data), len(data), LAYER_TAR, digest_of(data)) for data in contents]
    documents = write_documents(an_image(cmd), layers, {})
    return Layered(
        documents, [(layer, hold(data)) for layer, data in zip(layers, contents, strict=True)], None
    )


def an_image(cmd: str) -> Image:
    return Image(
        name="mine:1",
        digest="e" * 64,
        architecture="amd64",
        size_bytes=1,
        used_bytes=1,
        source="machine:box",
        created="2026-01-01T00:00:00Z",
        config=ImageConfig(cmd=[cmd]),
    )


def archived(path: Path, images: Sequence[tuple[str, Layered]]) -> Path:
    async def write() -> None:
        with open(path, "wb") as file:
            async for piece in stream_archive(images):
                file.write(piece)

    asyncio.run(write())
    return path


def test_an_archive_of_several_images_has_what_they_share_once(tmp_path: Path) -> None:
    shared, one, two = b"s" * 5000, b"1" * 600, b"2" * 700
    images = [
        ("a:1", layered(shared, one)),
        ("b:1", layered(shared, two, cmd="ls")),
        ("c:2", layered(shared, one)),
    ]
    path = archived(tmp_path / "all.tar", images)
    with tarfile.open(path) as archive:
        names = archive.getnames()
        assert (
            len(names) == len(set(names)) == 3 + 2 * 2 + 3
        )  # two manifests, two configurations, three layers
        for member in archive.getmembers():
            if member.name.startswith("blobs/"):
                data = archive.extractfile(member)
                assert data is not None
                assert hashlib.sha256(data.read()).hexdigest() == member.name.rpartition("/")[2]

    async def read(source: str) -> tuple[str, str, list[int]]:
        async with open_source(parse_source(source), SourceContext(BlobStore(tmp_path), tmp_path)) as opened:
            plan = await opened.resolve(Platform("linux", "amd64"), silent)
            sizes = []
            for layer in plan.layers:
                with await opened.open_layer(layer) as blob:
                    sizes.append(blob.size)
            return plan.called, plan.manifest_digest, sizes

    for number, (name, image) in enumerate(images):
        expected = (name, image.documents.digest, [layer.size for layer, _ in image.layers])
        assert asyncio.run(read(f"docker-archive:{path}:@{number}")) == expected
        assert asyncio.run(read(f"oci-archive:{path}:{name}")) == expected


def test_an_archive_keeps_the_documents_of_an_image(tmp_path: Path) -> None:
    made = layered(b"s" * 10)
    documents = Documents(made.documents.manifest, made.documents.config, DOCKER_MANIFEST)
    path = archived(tmp_path / "a.tar", [("a:1", Layered(documents, made.layers, None))])
    with tarfile.open(path) as archive:
        index = archive.extractfile("index.json")
        assert index is not None
        (entry,) = json.load(index)["manifests"]
        assert (entry["mediaType"], entry["digest"]) == (DOCKER_MANIFEST, digest_of(documents.manifest))
        assert entry["annotations"]["org.opencontainers.image.ref.name"] == "1"
        manifest = archive.extractfile("blobs/" + entry["digest"].replace(":", "/"))
        assert manifest is not None and manifest.read() == documents.manifest


def test_a_layer_that_has_become_shorter_breaks_the_archive_off(tmp_path: Path) -> None:
    image = layered(b"s" * 10)
    image.layers[0][1].size = 11
    with pytest.raises(Error) as caught:
        archived(tmp_path / "a.tar", [("a:1", image)])
    assert caught.value.code == "image_invalid"
