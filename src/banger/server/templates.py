"""Handlers of /v1/templates."""

from __future__ import annotations

from starlette.requests import Request

from banger.machines.parts import Parts
from banger.model.image import Pruned
from banger.model.template import Template
from banger.server.calls import query_bool


async def list_templates(parts: Parts, request: Request, body: None) -> list[Template]:
    return await parts.templates.list()


async def show_template(parts: Parts, request: Request, body: None) -> Template:
    return await parts.templates.get(request.path_params["id"])


async def delete_template(parts: Parts, request: Request, body: None) -> None:
    await parts.templates.delete(request.path_params["id"])


async def prune_templates(parts: Parts, request: Request, body: None) -> Pruned:
    everything, dry_run = query_bool(request, "all"), query_bool(request, "dry_run")
    return await parts.templates.prune(everything=everything, dry_run=dry_run)
