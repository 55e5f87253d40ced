"""Handlers of /v1/templates. Of a template that is removed no clones wait any more."""

from __future__ import annotations

from starlette.requests import Request

from banger.machines.parts import Parts
from banger.model.image import Pruned
from banger.model.template import Template
from banger.server.calls import query_bool


async def list_templates(parts: Parts, request: Request, body: None) -> list[Template]:
    return [_counted(parts, template) for template in await parts.templates.list()]


async def show_template(parts: Parts, request: Request, body: None) -> Template:
    return _counted(parts, await parts.templates.get(request.path_params["id"]))


async def delete_template(parts: Parts, request: Request, body: None) -> None:
    template = await parts.templates.get(request.path_params["id"])
    await parts.templates.delete(template.id)
    await parts.pool.drain(template.id)


async def prune_templates(parts: Parts, request: Request, body: None) -> Pruned:
    everything, dry_run = query_bool(request, "all"), query_bool(request, "dry_run")
    before = {template.id for template in await parts.templates.list()}
    pruned = await parts.templates.prune(everything=everything, dry_run=dry_run)
    for template_id in before - {template.id for template in await parts.templates.list()}:
        await parts.pool.drain(template_id)
    return pruned


def _counted(parts: Parts, template: Template) -> Template:
    template.ready = parts.pool.ready(template.id)
    return template
