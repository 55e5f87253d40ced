"""Verbs of named volumes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from banger.api import volumes as verbs
from banger.api.verb import Nothing
from banger.engine.engine import Engine
from banger.engine.verbs import begun, carries_out, gives_out, takes_in
from banger.machines.ask import volumes
from banger.machines.ask.volumes import Hands
from banger.model.operation import Report
from banger.model.principal import Principal
from banger.model.volume import Volume, check_volume_name


@carries_out(verbs.LIST)
async def list_all(engine: Engine, principal: Principal, request: Nothing) -> list[Volume]:
    hands = _hands(engine)
    return [await volumes.describe(hands, volume) for volume in engine.registry.volumes.all()]


@carries_out(verbs.CREATE)
async def create(engine: Engine, principal: Principal, request: verbs.CreateVolume) -> Volume:
    hands = _hands(engine)
    made = await volumes.make(hands, request.name, request.size_bytes, request.labels, request.copy_of)
    return await volumes.describe(hands, made)


@carries_out(verbs.PRUNE)
async def prune(engine: Engine, principal: Principal, request: verbs.PruneVolumes) -> list[Volume]:
    return await volumes.prune(_hands(engine), dry_run=request.dry_run)


@carries_out(verbs.GET)
async def get(engine: Engine, principal: Principal, request: verbs.OneVolume) -> Volume:
    return await volumes.describe(_hands(engine), engine.registry.volumes.find(request.volume))


@carries_out(verbs.DELETE)
async def delete(engine: Engine, principal: Principal, request: verbs.OneVolume) -> None:
    await volumes.delete(_hands(engine), request.volume)


@gives_out(verbs.EXPORT)
async def export(engine: Engine, principal: Principal, request: verbs.OneVolume) -> AsyncIterator[bytes]:
    return await begun(volumes.export(_hands(engine), request.volume))


@takes_in(verbs.IMPORT)
async def import_file(
    engine: Engine, principal: Principal, request: verbs.ImportVolume, file: AsyncIterator[bytes]
) -> Volume:
    """An operation, so that it is listed and can be cancelled."""
    if request.name:
        check_volume_name(request.name)
    hands = _hands(engine)

    async def work(report: Report) -> Volume:
        return await volumes.describe(hands, await volumes.take_in(hands, file, request.name))

    running = engine.operations.begin("import", f"volume/{request.name or '*'}", work)
    return await engine.operations.finish(running)


def _hands(engine: Engine) -> Hands:
    return Hands(engine.registry, engine.lives.holdings, engine.makings.settings.limits)
