"""Handlers of /v1/images and /v1/kernels."""

from __future__ import annotations

from starlette.requests import Request

from banger.machines.parts import Parts
from banger.model.image import Image, Kernel, PullRequest
from banger.model.operation import Operation, Report


async def list_images(parts: Parts, request: Request, body: None) -> list[Image]:
    return parts.images.list()


async def show_image(parts: Parts, request: Request, body: None) -> Image:
    return parts.images.get(request.path_params["name"])


async def pull_image(parts: Parts, request: Request, body: PullRequest) -> Operation:
    async def work(report: Report) -> str:
        return (await parts.images.pull(body.ref, report, force=body.force)).name

    return parts.operations.begin("pull", f"image/{body.ref}", work).operation


async def delete_image(parts: Parts, request: Request, body: None) -> None:
    parts.images.delete(request.path_params["name"], parts.machines_with_image)


async def list_kernels(parts: Parts, request: Request, body: None) -> list[Kernel]:
    return parts.kernels.list()


async def show_kernel(parts: Parts, request: Request, body: None) -> Kernel:
    return parts.kernels.get(request.path_params["name"])


async def pull_kernel(parts: Parts, request: Request, body: PullRequest) -> Operation:
    async def work(report: Report) -> str:
        return (await parts.kernels.pull(body.ref, report, force=body.force)).name

    return parts.operations.begin("pull", f"kernel/{body.ref}", work).operation


async def delete_kernel(parts: Parts, request: Request, body: None) -> None:
    parts.kernels.delete(request.path_params["name"], parts.machines_with_kernel)
