"""The lower layers of an image are asked for again as they were first: as their catalog named them, or the user."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from banger.errors import Error
from banger.host.settings import Settings
from banger.images.disks.importing import find_lower, plan_disk
from banger.images.disks.source import SourceContext
from banger.images.records.library import ImageLibrary
from banger.images.reference.reference import SourceRef, format_source
from banger.machines.copies import layering
from banger.model.image import Image
from tests.support.paths import paths_below

HOST = "catalog.example"


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
    paths = paths_below(tmp_path)
    image = _image("base", "d", "registry.example/base:1", "")
    image.catalog = catalog
    records: Any = SimpleNamespace(all=lambda: [image])
    shelf: Any = SimpleNamespace(host_of=lambda name: {"shared": HOST}[name])
    makings: Any = SimpleNamespace(paths=paths, images=ImageLibrary(paths, records, shelf))
    paths.images.mkdir(parents=True)
    (paths.images / "d.ext4").write_bytes(b"")
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
    paths = paths_below(tmp_path)
    paths.images.mkdir(parents=True)
    images = [
        _image("top", "t", "oci-archive:/gone/top.tar", "m"),
        _image("middle", "m", "oci-archive:/gone/middle.tar", "b"),
        _image("other", "o", "registry.example/other:1", ""),
        _image("bottom", "b", "registry.example/bottom:1", ""),
    ]
    for image in images:
        (paths.images / f"{image.digest}.ext4").write_bytes(b"")
    records: Any = SimpleNamespace(all=lambda: images)
    makings: Any = SimpleNamespace(paths=paths, images=ImageLibrary(paths, records, cast(Any, None)))
    nothing: Any = None

    async def body() -> None:
        async with layering.open_layers(nothing, makings, images[0], 0, lambda *_: None):
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


def _image(name: str, digest: str, source: str, base: str) -> Image:
    return Image(
        name=name,
        digest=digest,
        source=source,
        manifest_digest="sha256:" + "0" * 64,
        created="2026-01-01T00:00:00.000Z",
        architecture="amd64",
        size_bytes=1,
        used_bytes=1,
        base=base,
    )
