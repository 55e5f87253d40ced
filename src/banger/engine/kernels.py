"""Verbs of kernels."""

from __future__ import annotations

from functools import partial

from banger.api import kernels as verbs
from banger.api.images import Search
from banger.api.verb import Nothing
from banger.engine.verbs import carries_out
from banger.images.reference.platform import parse_platform
from banger.machines.copies.snapshots import list_snapshots
from banger.machines.keep.users import users_of_kernel
from banger.machines.parts import Parts
from banger.model.catalog import Offer
from banger.model.image import Kernel
from banger.model.operation import Operation, Report
from banger.model.principal import Principal


@carries_out(verbs.LIST)
async def list_all(parts: Parts, principal: Principal, request: Nothing) -> list[Kernel]:
    return parts.kernels.list()


@carries_out(verbs.GET)
async def get(parts: Parts, principal: Principal, request: verbs.OneKernel) -> Kernel:
    return parts.kernels.get(request.name)


@carries_out(verbs.DELETE)
async def delete(parts: Parts, principal: Principal, request: verbs.OneKernel) -> None:
    snapshots = await list_snapshots(parts)
    await parts.kernels.delete(request.name, partial(users_of_kernel, parts, snapshots))


@carries_out(verbs.PULL)
async def pull(parts: Parts, principal: Principal, request: verbs.PullKernel) -> Operation[Kernel]:
    async def work(report: Report) -> Kernel:
        architecture = parse_platform(request.platform).architecture if request.platform else ""
        return await parts.kernels.pull(request.ref, report, request.force, architecture)

    return parts.operations.begin("pull", f"kernel/{request.ref}", work).operation


@carries_out(verbs.OFFERS)
async def offers(parts: Parts, principal: Principal, request: Search) -> list[Offer]:
    return parts.kernels.offers(request.search)
