"""Verbs of templates and snapshots."""

from __future__ import annotations

from collections.abc import AsyncIterator

from banger.api import frozen as verbs
from banger.api.verb import Nothing
from banger.engine.verbs import begun, carries_out, gives_out, takes_in
from banger.machines.copies import snapshots
from banger.machines.parts import Parts
from banger.model.image import Pruned
from banger.model.names import check_name
from banger.model.operation import Report
from banger.model.principal import Principal
from banger.model.template import Snapshot, Template


@carries_out(verbs.LIST_TEMPLATES)
async def list_templates(parts: Parts, principal: Principal, request: Nothing) -> list[Template]:
    return await parts.templates.list()


@carries_out(verbs.GET_TEMPLATE)
async def get_template(parts: Parts, principal: Principal, request: verbs.OneTemplate) -> Template:
    return await parts.templates.get(request.id)


@carries_out(verbs.DELETE_TEMPLATE)
async def delete_template(parts: Parts, principal: Principal, request: verbs.OneTemplate) -> None:
    await parts.templates.delete(request.id)


@carries_out(verbs.PRUNE_TEMPLATES)
async def prune_templates(parts: Parts, principal: Principal, request: verbs.PruneTemplates) -> Pruned:
    return await parts.templates.prune(everything=request.all, dry_run=request.dry_run)


@carries_out(verbs.LIST_SNAPSHOTS)
async def list_snapshots(parts: Parts, principal: Principal, request: verbs.ListSnapshots) -> list[Snapshot]:
    return await snapshots.list_snapshots(parts, request.machine)


@carries_out(verbs.GET_SNAPSHOT)
async def get_snapshot(parts: Parts, principal: Principal, request: verbs.OneSnapshot) -> Snapshot:
    return await snapshots.find_snapshot(parts, request.machine, request.tag)


@carries_out(verbs.DELETE_SNAPSHOT)
async def delete_snapshot(parts: Parts, principal: Principal, request: verbs.OneSnapshot) -> None:
    await snapshots.delete_snapshot(parts, request.machine, request.tag)


@gives_out(verbs.EXPORT_SNAPSHOT)
async def export_snapshot(
    parts: Parts, principal: Principal, request: verbs.OneSnapshot
) -> AsyncIterator[bytes]:
    return await begun(snapshots.export_snapshot(parts, request.machine, request.tag))


@takes_in(verbs.IMPORT_SNAPSHOT)
async def import_snapshot(
    parts: Parts, principal: Principal, request: verbs.ImportSnapshot, file: AsyncIterator[bytes]
) -> Snapshot:
    """An operation, so that it is listed and can be cancelled."""
    machine, tag = request.machine, request.tag
    if machine:
        check_name(machine)

    async def work(report: Report) -> Snapshot:
        return await snapshots.import_snapshot(parts, file, machine, tag)

    running = parts.operations.begin("import", f"snapshot/{machine or '*'}:{tag or '*'}", work)
    return await parts.operations.finish(running)
