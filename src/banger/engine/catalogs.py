"""Verbs of catalogs."""

from __future__ import annotations

from banger.api import catalogs as verbs
from banger.api.verb import Nothing
from banger.engine import publishing
from banger.engine.paths import refuse_path_of_others
from banger.engine.verbs import carries_out
from banger.machines.parts import Parts
from banger.model.catalog import AddCatalog, Catalog, Published, PublishRequest, Verified, VerifyRequest
from banger.model.operation import Operation, Report
from banger.model.principal import Principal


@carries_out(verbs.LIST)
async def list_all(parts: Parts, principal: Principal, request: Nothing) -> list[Catalog]:
    return parts.shelf.list()


@carries_out(verbs.ADD)
async def add(parts: Parts, principal: Principal, request: AddCatalog) -> Catalog:
    return await parts.shelf.add(request.url, request.key, request.name)


@carries_out(verbs.REFRESH)
async def refresh(parts: Parts, principal: Principal, request: verbs.RefreshCatalogs) -> list[Catalog]:
    return await parts.shelf.refresh(request.name)


@carries_out(verbs.REMOVE)
async def remove(parts: Parts, principal: Principal, request: verbs.OneCatalog) -> None:
    parts.shelf.remove(request.name)


@carries_out(verbs.PUBLISH)
async def publish(parts: Parts, principal: Principal, request: PublishRequest) -> Operation[Published]:
    refuse_path_of_others(principal, request.directory)

    async def work(report: Report) -> Published:
        return await publishing.publish(parts, request, report)

    return parts.operations.begin("publish", f"{request.kind}/{request.name}", work).operation


@carries_out(verbs.VERIFY)
async def verify(parts: Parts, principal: Principal, request: VerifyRequest) -> Operation[Verified]:
    refuse_path_of_others(principal, request.directory)

    async def work(report: Report) -> Verified:
        return await publishing.verify(request, report)

    return parts.operations.begin("verify", f"catalog/{request.directory}", work).operation
