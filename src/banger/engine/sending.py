"""Verbs by which images leave this host as layers."""

from __future__ import annotations

from collections.abc import AsyncIterator

from banger.api import images as verbs
from banger.engine.engine import Engine
from banger.engine.verbs import begun, carries_out, gives_out
from banger.errors import Error
from banger.host.thread import load_modules
from banger.images.reference.reference import parse_reference
from banger.model.image import Image, Pushed, PushRequest
from banger.model.operation import Operation, Report
from banger.model.principal import Principal

_LAYERING = "banger.machines.copies.layering"
_PUSHING = "banger.images.made.pushing"
_ARCHIVE = "banger.images.made.archive"


@carries_out(verbs.PUSH)
async def push(engine: Engine, principal: Principal, request: PushRequest) -> Operation[Pushed]:
    image = engine.makings.images.get(request.name)
    reference = parse_reference(request.ref or image.name)
    if reference.digest:
        raise Error("bad_reference", "an image is pushed to a name, not to a digest", "name a tag")

    async def work(report: Report) -> Pushed:
        await load_modules(_LAYERING, _PUSHING)
        from banger.images.made.pushing import push
        from banger.machines.copies.layering import open_layers

        async with open_layers(engine.lives, engine.makings, image, principal.uid, report) as made:
            config = engine.makings.paths.config
            return await push(reference, made, config, request.insecure, report)

    return engine.operations.begin("push", f"image/{image.name}", work).operation


@gives_out(verbs.SAVE)
async def save(engine: Engine, principal: Principal, request: verbs.OneImage) -> AsyncIterator[bytes]:
    return await begun(_save(engine, principal, engine.makings.images.get(request.name)))


async def _save(engine: Engine, principal: Principal, image: Image) -> AsyncIterator[bytes]:
    await load_modules(_LAYERING, _ARCHIVE)
    from banger.images.made.archive import stream_archive
    from banger.machines.copies.layering import open_layers

    async with open_layers(engine.lives, engine.makings, image, principal.uid, _tell_nobody) as made:
        name = image.name if ":" in image.name.rpartition("/")[2] else f"{image.name}:latest"
        async for piece in stream_archive(name, made.documents, made.layers):
            yield piece


def _tell_nobody(
    phase: str, message: str = "", done: int = 0, total: int = 0, unit: str = "", layers: object = ()
) -> None:
    """The client of a download sees the bytes alone."""
