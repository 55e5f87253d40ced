"""Verbs of catalogs."""

from __future__ import annotations

from banger.api import catalogs as verbs
from banger.api.verb import Nothing
from banger.engine import publishing
from banger.engine.engine import Engine
from banger.engine.paths import refuse_path_of_others
from banger.engine.verbs import carries_out
from banger.model.catalog import AddCatalog, Catalog, Published, PublishRequest, Verified, VerifyRequest
from banger.model.operation import Operation, Report
from banger.model.principal import Principal


@carries_out(verbs.LIST)
async def list_all(engine: Engine, principal: Principal, request: Nothing) -> list[Catalog]:
    return engine.shelf.list()


@carries_out(verbs.ADD)
async def add(engine: Engine, principal: Principal, request: AddCatalog) -> Catalog:
    return await engine.shelf.add(request.url, request.key, request.name)


@carries_out(verbs.REFRESH)
async def refresh(engine: Engine, principal: Principal, request: verbs.RefreshCatalogs) -> list[Catalog]:
    return await engine.shelf.refresh(request.name)


@carries_out(verbs.REMOVE)
async def remove(engine: Engine, principal: Principal, request: verbs.OneCatalog) -> None:
    engine.shelf.remove(request.name)


@carries_out(verbs.PUBLISH)
async def publish(engine: Engine, principal: Principal, request: PublishRequest) -> Operation[Published]:
    refuse_path_of_others(principal, request.directory)

    async def work(report: Report) -> Published:
        images, kernels = engine.makings.images, engine.makings.kernels
        return await publishing.publish(images, kernels, request, report)

    return engine.operations.begin("publish", f"{request.kind}/{request.name}", work).operation


@carries_out(verbs.VERIFY)
async def verify(engine: Engine, principal: Principal, request: VerifyRequest) -> Operation[Verified]:
    refuse_path_of_others(principal, request.directory)

    async def work(report: Report) -> Verified:
        return await publishing.verify(request, report)

    return engine.operations.begin("verify", f"catalog/{request.directory}", work).operation
