"""An image of this host as layers, for registries and other tools.

An image is one disk here. Its layers are those of the image that it was pulled as, or of one below it, from where they
came, and one more for what is above them. That one is made by throw-away machines that run no program of the image:
their agents send the files of both disks, and the difference is taken here. No program of the host reads a disk
(decision 16).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from banger.errors import Error
from banger.host.thread import in_thread
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.lifeline import on_lifeline
from banger.images.made.documents import Layered, write_documents
from banger.images.made.layer import make_layer
from banger.images.records.sources.opening import open_source
from banger.images.records.sources.spool import spool_stream
from banger.images.reference.documents import Documents, Layer
from banger.images.reference.platform import parse_platform
from banger.images.reference.reference import Reference, SourceRef, parse_source
from banger.machines.ask.files import read_tar
from banger.machines.copies.throw_away import open_throw_away
from banger.machines.life.lives import Lives
from banger.machines.life.makings import Makings
from banger.model.image import Image
from banger.model.operation import Report
from banger.model.settings import read_settings


@dataclass
class _Below:
    """What is known of the lower layers, and the disk that they make."""

    image: Image | None = None
    layers: list[tuple[Layer, ByteRange]] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    origin: Reference | None = None
    documents: Documents | None = None


@asynccontextmanager
async def open_layers(
    lives: Lives, makings: Makings, image: Image, owner: int, report: Report
) -> AsyncIterator[Layered]:
    """The image as layers, whose blobs are open within the block. An image as it was pulled keeps its documents, and so
    its digest. Raises the errors of a start, and `image_invalid`, `insufficient_disk`; not those of the place that
    lower layers came from: without them, one layer has all files."""
    async with AsyncExitStack() as owned:
        below = await _open_below(makings, image, owned, report)
        layers = below.layers
        if below.documents is not None and below.documents.digest == image.manifest_digest:
            yield Layered(below.documents, layers, below.origin)
            return
        if below.image is None or below.image.digest != image.digest:
            layers = [
                *layers,
                await _open_difference(lives, makings, below.image, image, owner, owned, report),
            ]
        documents = write_documents(image, [layer for layer, _ in layers], below.labels)
        yield Layered(documents, layers, below.origin)


async def _open_below(makings: Makings, image: Image, owned: AsyncExitStack, report: Report) -> _Below:
    """The layers of the image, or of an image below it, if they are still where they came from."""
    gone = []
    for pulled in _known_below(makings, image):
        async with AsyncExitStack() as opened:
            try:
                below = await _fetch(makings, pulled, opened, report)
            except Error as exc:
                gone.append(_gone(pulled, exc))
                continue
            owned.push_async_exit(opened.pop_all())
            return below
    for warning in gone:
        report("warning", warning)
    return _Below()


def _known_below(makings: Makings, image: Image) -> Iterator[Image]:
    """The images with layers that have the disk of the image, the image as it was pulled before others; then those with
    the disk that it stands on, and so on."""
    known = sorted(makings.images.list(), key=lambda one: one.manifest_digest != image.manifest_digest)
    wanted = [image.digest, image.base]
    for digest in wanted:  # which grows
        for one in known:
            if one.digest == digest and one.manifest_digest and makings.images.disk(one).exists():
                yield one
                wanted += [one.base] if one.base and one.base not in wanted else []


async def _fetch(makings: Makings, pulled: Image, opened: AsyncExitStack, report: Report) -> _Below:
    source_ref: SourceRef = parse_source(pulled.source)
    if isinstance(source_ref, Reference):
        source_ref = source_ref.with_digest(pulled.manifest_digest)
    context = makings.images.source_context(pulled.catalog, read_settings(makings.paths.config))
    source = await opened.enter_async_context(open_source(source_ref, context))
    plan = await source.resolve(parse_platform(f"linux/{pulled.architecture}"), report)
    if plan.manifest_digest != pulled.manifest_digest or not plan.whiteouts:
        raise Error("image_invalid", f"{pulled.source} is another image now")
    await source.prefetch(plan, report)
    layers = []
    for layer in plan.layers:
        blob = await source.open_layer(layer)
        opened.callback(blob.close)
        layers.append((layer, blob))
    origin = source_ref if isinstance(source_ref, Reference) else None
    return _Below(pulled, layers, plan.labels, origin, plan.documents)


def _gone(pulled: Image, error: Error) -> str:
    return (
        f"the layers of {pulled.name} are no longer to be had, so one layer has all files, and the image has another "
        f"digest: {error.message}"
    )


async def _open_difference(
    lives: Lives,
    makings: Makings,
    base: Image | None,
    image: Image,
    owner: int,
    owned: AsyncExitStack,
    report: Report,
) -> tuple[Layer, ByteRange]:
    keep_free = read_settings(makings.paths.config).limits.disk_reserve_bytes
    directory = await in_thread(makings.images.blobs().make)
    async with AsyncExitStack() as trees:
        lower = None
        if base is not None:
            lower = trees.enter_context(await _read_tree(lives, makings, base, owner, keep_free, report))
        upper = trees.enter_context(await _read_tree(lives, makings, image, owner, keep_free, report))
        report("layer", f"what {image.name} has above {base.name}" if base else f"all of {image.name}")
        layer, blob = await on_lifeline(lambda line: make_layer(lower, upper, directory, keep_free, line))
    owned.callback(blob.close)
    return layer, blob


async def _read_tree(
    lives: Lives, makings: Makings, image: Image, owner: int, keep_free: int, report: Report
) -> ByteRange:
    """The files of an image as a tar archive, sent by the agent of a machine of its own."""
    report("files", f"reading the files of {image.name} in a machine")
    directory = await in_thread(makings.images.blobs().make)
    async with open_throw_away(lives, makings, image, owner, report) as live:
        return await spool_stream(read_tar(live, "/"), directory, keep_free)
