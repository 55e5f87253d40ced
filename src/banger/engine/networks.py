"""Verbs of named networks."""

from __future__ import annotations

from banger.api import networks as verbs
from banger.api.verb import Nothing
from banger.engine.engine import Engine
from banger.engine.verbs import carries_out
from banger.machines.ask import memberships
from banger.machines.ask.memberships import Hands, describe
from banger.model.network import Network
from banger.model.principal import Principal


@carries_out(verbs.LIST)
async def list_all(engine: Engine, principal: Principal, request: Nothing) -> list[Network]:
    return [describe(engine.registry, network) for network in engine.registry.networks.all()]


@carries_out(verbs.CREATE)
async def create(engine: Engine, principal: Principal, request: verbs.CreateNetwork) -> Network:
    guards = engine.makings.guards
    return await memberships.make(
        engine.registry, guards, request.name, internal=request.internal, labels=request.labels
    )


@carries_out(verbs.GET)
async def get(engine: Engine, principal: Principal, request: verbs.OneNetwork) -> Network:
    return describe(engine.registry, engine.registry.networks.find(request.network))


@carries_out(verbs.DELETE)
async def delete(engine: Engine, principal: Principal, request: verbs.OneNetwork) -> None:
    memberships.delete(engine.registry, engine.registry.networks.find(request.network))


@carries_out(verbs.PRUNE)
async def prune(engine: Engine, principal: Principal, request: verbs.PruneNetworks) -> list[Network]:
    return memberships.prune(engine.registry, dry_run=request.dry_run)


@carries_out(verbs.CONNECT)
async def connect(engine: Engine, principal: Principal, request: verbs.ConnectMachine) -> Network:
    network, machine = engine.registry.networks.find(request.network), engine.registry.find(request.machine)
    await memberships.connect(_hands(engine), machine, network, request.aliases)
    return describe(engine.registry, network)


@carries_out(verbs.DISCONNECT)
async def disconnect(engine: Engine, principal: Principal, request: verbs.DisconnectMachine) -> None:
    machine = engine.registry.find(request.machine)
    await memberships.disconnect(_hands(engine), machine, request.network)


def _hands(engine: Engine) -> Hands:
    return Hands(engine.lives, engine.makings, engine.neighbours)
