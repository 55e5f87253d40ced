"""Verbs of images and registries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from banger.api import images as verbs
from banger.api.verb import Nothing
from banger.engine.paths import refuse_path_of_others, refuse_sources_of_others
from banger.engine.verbs import carries_out, gives_out, takes_in
from banger.host.thread import load_modules
from banger.images.records.library import Wish
from banger.machines.copies.snapshots import list_snapshots
from banger.machines.keep import upkeep
from banger.machines.keep.users import users_of_image
from banger.machines.parts import Parts
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
async def list_all(parts: Parts, principal: Principal, request: Nothing) -> list[Image]:
    return parts.images.list()


@carries_out(verbs.GET)
async def get(parts: Parts, principal: Principal, request: verbs.OneImage) -> Image:
    return parts.images.get(request.name)


@carries_out(verbs.DELETE)
async def delete(parts: Parts, principal: Principal, request: verbs.OneImage) -> None:
    snapshots = await list_snapshots(parts)
    await parts.images.delete(request.name, partial(users_of_image, parts, snapshots))


@carries_out(verbs.PULL)
async def pull(parts: Parts, principal: Principal, request: PullRequest) -> Operation[Image]:
    refuse_sources_of_others(principal, request.ref)
    wish = Wish(
        force=request.force,
        platform=request.platform,
        insecure=request.insecure,
        size_bytes=request.size_bytes,
        name=request.name,
    )

    async def work(report: Report) -> Image:
        return await parts.images.pull(request.ref, report, wish)

    return parts.operations.begin("pull", f"image/{request.ref}", work).operation


@takes_in(verbs.IMPORT_TAR)
async def import_tar(
    parts: Parts, principal: Principal, request: verbs.ImportImage, tar: AsyncIterator[bytes]
) -> Image:
    """An operation, so that it is listed and can be cancelled."""
    wish = Wish(name=request.name, size_bytes=request.size_bytes, stdin=tar)

    async def work(report: Report) -> Image:
        return await parts.images.pull("-", report, wish)

    return await parts.operations.finish(parts.operations.begin("import", f"image/{request.name}", work))


@carries_out(verbs.TAG)
async def tag(parts: Parts, principal: Principal, request: TagRequest) -> Image:
    return parts.images.tag(request.name, request.new)


@carries_out(verbs.REGISTER)
async def register(parts: Parts, principal: Principal, request: RegisterRequest) -> Image:
    refuse_path_of_others(principal, request.rootfs)
    return await parts.images.register(Path(request.rootfs), request.name)


@gives_out(verbs.EXPORT)
async def export(parts: Parts, principal: Principal, request: verbs.OneImage) -> Path:
    return parts.images.disk(parts.images.get(request.name))


@carries_out(verbs.PRUNE)
async def prune(parts: Parts, principal: Principal, request: verbs.Prune) -> Pruned:
    return await upkeep.prune_images(parts, dry_run=request.dry_run)


@carries_out(verbs.PRUNE_BLOBS)
async def prune_blobs(parts: Parts, principal: Principal, request: verbs.Prune) -> Pruned:
    return await upkeep.prune_blobs(parts, dry_run=request.dry_run)


@carries_out(verbs.OFFERS)
async def offers(parts: Parts, principal: Principal, request: verbs.Search) -> list[Offer]:
    return parts.images.offers(request.search)


@carries_out(verbs.LOG_IN)
async def log_in(parts: Parts, principal: Principal, request: LoginRequest) -> Login:
    await load_modules(_LOGIN)  # it brings the HTTP and TLS libraries
    from banger.images.fetch.login import login

    where = await login(
        request.registry, request.username, request.password, parts.paths.config, request.insecure
    )
    return Login(registry=request.registry, kept_in=where)


@carries_out(verbs.LOG_OUT)
async def log_out(parts: Parts, principal: Principal, request: LogoutRequest) -> Login:
    await load_modules(_LOGIN)
    from banger.images.fetch.login import logout

    done = await logout(request.registry)
    return Login(registry=done.registry, removed=done.removed, elsewhere=[*done.elsewhere])
