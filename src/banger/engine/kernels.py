"""Verbs of kernels."""

from __future__ import annotations

from functools import partial

from banger.api import kernels as verbs
from banger.api.images import Search
from banger.api.verb import Nothing
from banger.engine.engine import Engine
from banger.engine.verbs import carries_out
from banger.images.reference.platform import parse_platform
from banger.machines.keep.upkeep import users_of_kernel
from banger.model.catalog import Offer
from banger.model.image import Kernel
from banger.model.operation import Operation, Report
from banger.model.principal import Principal


@carries_out(verbs.LIST)
async def list_all(engine: Engine, principal: Principal, request: Nothing) -> list[Kernel]:
    return engine.makings.kernels.list()


@carries_out(verbs.GET)
async def get(engine: Engine, principal: Principal, request: verbs.OneKernel) -> Kernel:
    return engine.makings.kernels.get(request.name)


@carries_out(verbs.DELETE)
async def delete(engine: Engine, principal: Principal, request: verbs.OneKernel) -> None:
    snapshots = await engine.snapshots.list()
    await engine.makings.kernels.delete(request.name, partial(users_of_kernel, engine.registry, snapshots))


@carries_out(verbs.PULL)
async def pull(engine: Engine, principal: Principal, request: verbs.PullKernel) -> Operation[Kernel]:
    async def work(report: Report) -> Kernel:
        architecture = parse_platform(request.platform).architecture if request.platform else ""
        return await engine.makings.kernels.pull(request.ref, report, request.force, architecture)

    return engine.operations.begin("pull", f"kernel/{request.ref}", work).operation


@carries_out(verbs.OFFERS)
async def offers(engine: Engine, principal: Principal, request: Search) -> list[Offer]:
    return engine.makings.kernels.offers(request.search)
