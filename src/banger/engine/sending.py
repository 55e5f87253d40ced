"""Verbs by which images leave this host as layers."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import msgspec

from banger.api import images as verbs
from banger.engine.engine import Engine
from banger.engine.verbs import begun, carries_out, gives_out
from banger.errors import Error
from banger.host.thread import load_modules
from banger.images.reference.reference import parse_reference
from banger.model.image import Image, Pushed, PushRequest
from banger.model.operation import Operation, Report
from banger.model.principal import Principal

log = logging.getLogger("banger.images")
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
async def save(engine: Engine, principal: Principal, request: verbs.SaveImages) -> AsyncIterator[bytes]:
    asked = [engine.makings.images.get(name) for name in (request.name, *request.also)]
    images = {image.name: image for image in asked}
    return await begun(_save(engine, principal, list(images.values())))


async def _save(engine: Engine, principal: Principal, images: Sequence[Image]) -> AsyncIterator[bytes]:
    """All images are in layers before the first byte, so that an error is one of the request. Names of one image share
    them."""
    await load_modules(_LAYERING, _ARCHIVE)
    from banger.images.made.archive import stream_archive
    from banger.images.made.documents import Layered
    from banger.machines.copies.layering import open_layers

    async with AsyncExitStack() as opened:
        made: list[tuple[Image, Layered]] = []
        for image in images:
            layered = next((known for other, known in made if _is_same(image, other)), None)
            if layered is None:
                opening = open_layers(engine.lives, engine.makings, image, principal.uid, _tell_log)
                layered = await opened.enter_async_context(opening)
            made.append((image, layered))
        async for piece in stream_archive([(_tagged(image.name), layered) for image, layered in made]):
            yield piece


def _is_same(image: Image, other: Image) -> bool:
    return msgspec.structs.replace(image, name=other.name) == other


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _tell_log(
    phase: str, message: str = "", done: int = 0, total: int = 0, unit: str = "", layers: object = ()
) -> None:
    """The client of a download sees the bytes alone; a warning is for the log."""
    if phase == "warning":
        log.warning("%s", message)
