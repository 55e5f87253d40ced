"""Handlers of /v1/images and /v1/kernels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse

from banger.images.library import Wish
from banger.images.platform import parse_platform
from banger.machines import upkeep
from banger.machines.parts import Parts
from banger.machines.users import users_of_image, users_of_kernel
from banger.model.image import Image, Kernel, Pruned, PullRequest, RegisterRequest, TagRequest
from banger.model.operation import Operation, Report
from banger.server.calls import query_bool, query_int, query_text, stream_body
from banger.server.operations import finish


async def list_images(parts: Parts, request: Request, body: None) -> list[Image]:
    return parts.images.list()


async def show_image(parts: Parts, request: Request, body: None) -> Image:
    return parts.images.get(request.path_params["name"])


async def pull_image(parts: Parts, request: Request, body: PullRequest) -> Operation:
    wish = Wish(
        force=body.force,
        platform=body.platform,
        insecure=body.insecure,
        size_bytes=body.size_bytes,
        name=body.name,
    )

    async def work(report: Report) -> str:
        return (await parts.images.pull(body.ref, report, wish)).name

    return parts.operations.begin("pull", f"image/{body.ref}", work).operation


async def import_image(parts: Parts, request: Request, body: None) -> Image:
    """The body is a tar of one tree. An operation too, so that it can be seen and cancelled."""
    name = query_text(request, "name")
    size = query_int(request, "size_bytes", 0, 0, 1 << 44) or 0
    wish = Wish(name=name, size_bytes=size, stdin=stream_body(request))

    async def work(report: Report) -> str:
        return (await parts.images.pull("-", report, wish)).name

    running = parts.operations.begin("import", f"image/{name}", work)
    return parts.images.get(await finish(parts, running))


async def delete_image(parts: Parts, request: Request, body: None) -> None:
    parts.images.delete(request.path_params["name"], partial(users_of_image, parts))


async def tag_image(parts: Parts, request: Request, body: TagRequest) -> Image:
    return parts.images.tag(body.name, body.new)


async def register_image(parts: Parts, request: Request, body: RegisterRequest) -> Image:
    return await parts.images.register(Path(body.rootfs), body.name)


async def export_image(parts: Parts, request: Request, body: None) -> FileResponse:
    image = parts.images.get(query_text(request, "name"))
    return FileResponse(parts.images.disk(image), media_type="application/octet-stream")


async def prune_images(parts: Parts, request: Request, body: None) -> Pruned:
    return await upkeep.prune_images(parts, dry_run=query_bool(request, "dry_run"))


async def prune_blobs(parts: Parts, request: Request, body: None) -> Pruned:
    return await upkeep.prune_blobs(parts, dry_run=query_bool(request, "dry_run"))


async def list_kernels(parts: Parts, request: Request, body: None) -> list[Kernel]:
    return parts.kernels.list()


async def show_kernel(parts: Parts, request: Request, body: None) -> Kernel:
    return parts.kernels.get(request.path_params["name"])


async def pull_kernel(parts: Parts, request: Request, body: PullRequest) -> Operation:
    async def work(report: Report) -> str:
        architecture = parse_platform(body.platform).architecture if body.platform else ""
        return (await parts.kernels.pull(body.ref, report, body.force, architecture)).name

    return parts.operations.begin("pull", f"kernel/{body.ref}", work).operation


async def delete_kernel(parts: Parts, request: Request, body: None) -> None:
    parts.kernels.delete(request.path_params["name"], partial(users_of_kernel, parts))
