"""The lower layers of an image are asked for again as they were first: as their catalog named them, or the user."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger.images.disks.source import SourceContext
from banger.images.records.library import ImageLibrary
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
    image = Image(
        name="base",
        digest="d",
        source="registry.example/base:1",
        manifest_digest="sha256:" + "0" * 64,
        created="2026-01-01T00:00:00.000Z",
        architecture="amd64",
        size_bytes=1,
        used_bytes=1,
        catalog=catalog,
    )
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
