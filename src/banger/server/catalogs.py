"""Handlers of /v1/catalogs, and of what catalogs offer."""

from __future__ import annotations

from starlette.requests import Request

from banger.machines import publishing
from banger.machines.parts import Parts
from banger.model.catalog import AddCatalog, Catalog, Offer, PublishRequest, VerifyRequest
from banger.model.operation import Operation, Report


async def list_image_offers(parts: Parts, request: Request, body: None) -> list[Offer]:
    return parts.images.offers(request.query_params.get("search", ""))


async def list_kernel_offers(parts: Parts, request: Request, body: None) -> list[Offer]:
    return parts.kernels.offers(request.query_params.get("search", ""))


async def list_catalogs(parts: Parts, request: Request, body: None) -> list[Catalog]:
    return parts.shelf.list()


async def add_catalog(parts: Parts, request: Request, body: AddCatalog) -> Catalog:
    return await parts.shelf.add(body.url, body.key, body.name)


async def refresh_catalogs(parts: Parts, request: Request, body: None) -> list[Catalog]:
    return await parts.shelf.refresh(request.query_params.get("name", ""))


async def remove_catalog(parts: Parts, request: Request, body: None) -> None:
    parts.shelf.remove(request.path_params["name"])


async def publish(parts: Parts, request: Request, body: PublishRequest) -> Operation:
    async def work(report: Report) -> str:
        return await publishing.publish(parts, body, report)

    return parts.operations.begin("publish", f"{body.kind}/{body.name}", work).operation


async def verify(parts: Parts, request: Request, body: VerifyRequest) -> Operation:
    async def work(report: Report) -> str:
        return await publishing.verify(body, report)

    return parts.operations.begin("verify", f"catalog/{body.directory}", work).operation
