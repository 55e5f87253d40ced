"""Verbs of templates and snapshots."""

from __future__ import annotations

from collections.abc import AsyncIterator

from banger.api import frozen as verbs
from banger.api.verb import Nothing
from banger.engine.engine import Engine
from banger.engine.verbs import begun, carries_out, gives_out, takes_in
from banger.model.image import Pruned
from banger.model.names import check_name
from banger.model.operation import Report
from banger.model.principal import Principal
from banger.model.template import Snapshot, Template


@carries_out(verbs.LIST_TEMPLATES)
async def list_templates(engine: Engine, principal: Principal, request: Nothing) -> list[Template]:
    return await engine.makings.templates.list()


@carries_out(verbs.GET_TEMPLATE)
async def get_template(engine: Engine, principal: Principal, request: verbs.OneTemplate) -> Template:
    return await engine.makings.templates.get(request.id)


@carries_out(verbs.DELETE_TEMPLATE)
async def delete_template(engine: Engine, principal: Principal, request: verbs.OneTemplate) -> None:
    await engine.makings.templates.delete(request.id)


@carries_out(verbs.PRUNE_TEMPLATES)
async def prune_templates(engine: Engine, principal: Principal, request: verbs.PruneTemplates) -> Pruned:
    return await engine.makings.templates.prune(everything=request.all, dry_run=request.dry_run)


@carries_out(verbs.LIST_SNAPSHOTS)
async def list_snapshots(
    engine: Engine, principal: Principal, request: verbs.ListSnapshots
) -> list[Snapshot]:
    return await engine.snapshots.list(request.machine)


@carries_out(verbs.GET_SNAPSHOT)
async def get_snapshot(engine: Engine, principal: Principal, request: verbs.OneSnapshot) -> Snapshot:
    return await engine.snapshots.find(request.machine, request.tag)


@carries_out(verbs.DELETE_SNAPSHOT)
async def delete_snapshot(engine: Engine, principal: Principal, request: verbs.OneSnapshot) -> None:
    await engine.snapshots.delete(request.machine, request.tag)


@gives_out(verbs.EXPORT_SNAPSHOT)
async def export_snapshot(
    engine: Engine, principal: Principal, request: verbs.OneSnapshot
) -> AsyncIterator[bytes]:
    return await begun(engine.snapshots.export(request.machine, request.tag))


@takes_in(verbs.IMPORT_SNAPSHOT)
async def import_snapshot(
    engine: Engine, principal: Principal, request: verbs.ImportSnapshot, file: AsyncIterator[bytes]
) -> Snapshot:
    """An operation, so that it is listed and can be cancelled."""
    machine, tag = request.machine, request.tag
    if machine:
        check_name(machine)

    async def work(report: Report) -> Snapshot:
        return await engine.snapshots.take_in(file, machine, tag)

    running = engine.operations.begin("import", f"snapshot/{machine or '*'}:{tag or '*'}", work)
    return await engine.operations.finish(running)
