"""The lower layers of an image are asked for again as they were first: as their catalog named them, or the user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from banger.errors import Error
from banger.images.disks.importing import find_lower, plan_disk
from banger.images.disks.source import SourceContext
from banger.images.made.pushing import hold
from banger.images.records.library import ImageLibrary
from banger.images.reference.documents import LAYER_TAR, Documents, ImagePlan, Layer, digest_of
from banger.images.reference.platform import Platform
from banger.images.reference.reference import SourceRef, format_source
from banger.machines.copies import layering
from banger.machines.copies.throw_away import open_throw_away
from banger.machines.life import lifecycle
from banger.model.image import Image, ImageConfig
from banger.model.settings import Settings
from tests.support.paths import paths_below

HOST = "catalog.example"


def pulled(name: str, manifest: str = "sha256:" + "0" * 64, catalog: str = "", digest: str = "d") -> Image:
    return Image(
        name=name,
        digest=digest,
        source=f"registry.example/{name}:1",
        manifest_digest=manifest,
        created="2026-01-01T00:00:00.000Z",
        architecture="amd64",
        size_bytes=1,
        used_bytes=1,
        catalog=catalog,
    )


def makings_of(directory: Path, *images: Image) -> Any:
    """The images of this host, each with a disk."""
    paths = paths_below(directory)
    by_name = {image.name: image for image in images}
    records: Any = SimpleNamespace(all=lambda: list(images), get=by_name.get)
    shelf: Any = SimpleNamespace(host_of=lambda name: {"shared": HOST}[name], find_image=lambda ref: None)
    paths.images.mkdir(parents=True)
    for image in images:
        (paths.images / f"{image.digest}.ext4").write_bytes(b"")
    return SimpleNamespace(paths=paths, images=ImageLibrary(paths, records, shelf), drivers=None)


class Asked(Exception):
    def __init__(self, context: SourceContext) -> None:
        self.context = context


@pytest.mark.parametrize(("catalog", "sender"), [("", ""), ("shared", HOST)])
def test_a_registry_is_asked_in_the_name_of_who_named_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalog: str, sender: str
) -> None:
    def ask(_: object, context: SourceContext) -> None:
        raise Asked(context)

    monkeypatch.setattr(layering, "open_source", ask)
    image = pulled("base", catalog=catalog)
    makings = makings_of(tmp_path, image)
    nothing: Any = None

    async def body() -> None:
        async with layering.open_layers(nothing, makings, image, 0, lambda *_: None):
            pass

    with pytest.raises(Asked) as caught:
        asyncio.run(body())
    assert caught.value.context.sender == sender


def test_the_layers_below_an_archive_that_is_gone_are_those_of_the_image_that_it_stands_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(source: object, _: object) -> None:
        asked.append(format_source(cast(SourceRef, source)))
        raise Error("file_not_found", "gone")

    monkeypatch.setattr(layering, "open_source", ask)
    top, middle = pulled("top", digest="t"), pulled("middle", digest="m")
    top.source, top.base = "oci-archive:/gone/top.tar", "m"
    middle.source, middle.base = "oci-archive:/gone/middle.tar", "b"
    makings = makings_of(tmp_path, top, middle, pulled("other", digest="o"), pulled("bottom", digest="b"))
    nothing: Any = None

    async def body() -> None:
        async with layering.open_layers(nothing, makings, top, 0, lambda *_: None):
            pass

    with pytest.raises(AttributeError):  # all layers have to be read then, in machines that are not here
        asyncio.run(body())
    pinned = "registry.example/bottom:1@sha256:" + "0" * 64
    assert asked == ["oci-archive:/gone/top.tar", "oci-archive:/gone/middle.tar", pinned]


def test_an_archive_stands_on_the_image_that_has_the_most_of_its_layers() -> None:
    layers, settings = ["sha256:a", "sha256:b", "sha256:c"], Settings()
    one, two, three = (plan_disk(layers[:count], 0, settings).digest for count in (1, 2, 3))
    assert find_lower(layers, {one, two, three}, settings) == two
    assert find_lower(layers, {one, "other"}, settings) == one
    assert find_lower(layers, {three}, settings) == ""
    assert find_lower([], {one}, settings) == ""


def test_an_image_as_it_was_pulled_keeps_its_documents_even_beside_one_with_the_same_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"layer"
    layer = Layer(digest_of(data), len(data), LAYER_TAR, digest_of(data))
    documents = {name: Documents(f'{{"of": "{name}"}}'.encode(), b"{}") for name in ("one", "two")}

    class Source:
        def __init__(self, name: str) -> None:
            self.documents = documents[name]

        async def resolve(self, platform: Platform, report: object) -> ImagePlan:
            found = self.documents
            return ImagePlan(ImageConfig(), (layer,), found.digest, platform, documents=found)

        async def prefetch(self, plan: ImagePlan, report: object) -> None:
            pass

        async def open_layer(self, layer: Layer) -> Any:
            return hold(data)

    @asynccontextmanager
    async def opened(source: Any, _: SourceContext) -> AsyncIterator[Source]:
        yield Source(source.repository)

    monkeypatch.setattr(layering, "open_source", opened)
    images = [pulled(name, documents[name].digest) for name in documents]
    makings, nothing = makings_of(tmp_path, *images), None

    async def made(image: Image) -> Documents:
        lives: Any = nothing
        async with layering.open_layers(lives, makings, image, 0, lambda *_: None) as layered:
            return layered.documents

    for image in images:
        assert asyncio.run(made(image)) == documents[image.name]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_disk_is_read_whatever_the_name_of_its_image_means_meanwhile(
    is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pulled("base")
    steps: list[str] = []
    makings = makings_of(tmp_path, pulled("base", digest="other"), *([image] if is_there else []))
    live = SimpleNamespace(in_use=nullcontext)
    lives: Any = SimpleNamespace(registry=None, of=lambda machine: live)

    def create(*_: object, **fields: object) -> None:
        assert fields["unfinished"], "the next daemon would keep it"
        steps.append("create")

    async def start(*_: object, image: Image) -> None:
        steps.append(f"start {image.digest}")

    async def delete(*_: object, **__: object) -> None:
        steps.append("delete")

    for step in (create, start, delete):
        monkeypatch.setattr(lifecycle, step.__name__, step)

    async def read() -> None:
        async with open_throw_away(lives, makings, image, 0, lambda *_: None) as opened:
            assert opened is cast(Any, live)

    if is_there:
        asyncio.run(read())
        assert steps == ["create", "start d", "delete"]
        return
    with pytest.raises(Error) as caught:
        asyncio.run(read())
    assert caught.value.code == "bad_state" and steps == []
