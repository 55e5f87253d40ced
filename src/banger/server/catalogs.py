"""Handlers of /v1/catalogs, and of what catalogs offer."""

from __future__ import annotations

from starlette.requests import Request

from banger.machines.parts import Parts
from banger.model.catalog import Offer


async def list_image_offers(parts: Parts, request: Request, body: None) -> list[Offer]:
    return parts.images.offers(request.query_params.get("search", ""))


async def list_kernel_offers(parts: Parts, request: Request, body: None) -> list[Offer]:
    return parts.kernels.offers(request.query_params.get("search", ""))
