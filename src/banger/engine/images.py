"""Verbs of images and registries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import msgspec

from banger.api import images as verbs
from banger.api.verb import Nothing
from banger.engine.engine import Engine
from banger.engine.paths import refuse_path_of_others, refuse_sources_of_others
from banger.engine.verbs import carries_out, gives_out, takes_in
from banger.host.thread import load_modules
from banger.images.records.library import Wish
from banger.machines.keep import upkeep
from banger.machines.keep.upkeep import users_of_image
from banger.model.catalog import Offer
from banger.model.image import (
    Image,
    Login,
    LoginRequest,
    LogoutRequest,
    Pruned,
    PullRequest,
    RegisterRequest,
    TagRequest,
)
from banger.model.operation import Operation, Report
from banger.model.principal import Principal

_LOGIN = "banger.images.fetch.login"


@carries_out(verbs.LIST)
async def list_all(engine: Engine, principal: Principal, request: Nothing) -> list[Image]:
    return [msgspec.structs.replace(image, steps=[]) for image in engine.makings.images.list()]


@carries_out(verbs.GET)
async def get(engine: Engine, principal: Principal, request: verbs.OneImage) -> Image:
    return engine.makings.images.get(request.name)


@carries_out(verbs.DELETE)
async def delete(engine: Engine, principal: Principal, request: verbs.OneImage) -> None:
    snapshots = await engine.snapshots.list()
    await engine.makings.images.delete(
        request.name, partial(users_of_image, engine.makings.images, engine.registry, snapshots)
    )


@carries_out(verbs.PULL)
async def pull(engine: Engine, principal: Principal, request: PullRequest) -> Operation[Image]:
    refuse_sources_of_others(principal, request.ref)
    wish = Wish(
        force=request.force,
        platform=request.platform,
        insecure=request.insecure,
        size_bytes=request.size_bytes,
        name=request.name,
    )

    async def work(report: Report) -> Image:
        return await engine.makings.images.pull(request.ref, report, wish)

    return engine.operations.begin("pull", f"image/{request.ref}", work).operation


@takes_in(verbs.IMPORT_TAR)
async def import_tar(
    engine: Engine, principal: Principal, request: verbs.ImportImage, tar: AsyncIterator[bytes]
) -> Image:
    """An operation, so that it is listed and can be cancelled."""
    wish = Wish(name=request.name, size_bytes=request.size_bytes, stdin=tar)

    async def work(report: Report) -> Image:
        return await engine.makings.images.pull("-", report, wish)

    return await engine.operations.finish(engine.operations.begin("import", f"image/{request.name}", work))


@carries_out(verbs.TAG)
async def tag(engine: Engine, principal: Principal, request: TagRequest) -> Image:
    return engine.makings.images.tag(request.name, request.new)


@carries_out(verbs.REGISTER)
async def register(engine: Engine, principal: Principal, request: RegisterRequest) -> Image:
    refuse_path_of_others(principal, request.rootfs)
    return await engine.makings.images.register(Path(request.rootfs), request.name)


@gives_out(verbs.EXPORT)
async def export(engine: Engine, principal: Principal, request: verbs.OneImage) -> Path:
    return engine.makings.images.disk(engine.makings.images.get(request.name))


@carries_out(verbs.PRUNE)
async def prune(engine: Engine, principal: Principal, request: verbs.Prune) -> Pruned:
    return await upkeep.prune_images(
        engine.makings.images, engine.registry, engine.snapshots, dry_run=request.dry_run
    )


@carries_out(verbs.PRUNE_BLOBS)
async def prune_blobs(engine: Engine, principal: Principal, request: verbs.Prune) -> Pruned:
    return await upkeep.prune_blobs(engine.makings.images, dry_run=request.dry_run)


@carries_out(verbs.OFFERS)
async def offers(engine: Engine, principal: Principal, request: verbs.Search) -> list[Offer]:
    return engine.makings.images.offers(request.search)


@carries_out(verbs.LOG_IN)
async def log_in(engine: Engine, principal: Principal, request: LoginRequest) -> Login:
    await load_modules(_LOGIN)  # it brings the HTTP and TLS libraries
    from banger.images.fetch.login import login

    where = await login(
        request.registry, request.username, request.password, engine.makings.paths.config, request.insecure
    )
    return Login(registry=request.registry, kept_in=where)


@carries_out(verbs.LOG_OUT)
async def log_out(engine: Engine, principal: Principal, request: LogoutRequest) -> Login:
    await load_modules(_LOGIN)
    from banger.images.fetch.login import logout

    done = await logout(request.registry)
    return Login(registry=done.registry, removed=done.removed, elsewhere=[*done.elsewhere])
