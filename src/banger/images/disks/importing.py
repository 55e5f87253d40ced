"""An image's layers → its root disk: the data of each file goes once from the inflated layer to its place.

The name of the disk is derived from its inputs (the layers' diff-ids, the requested size, the writer's version). Images
that differ only in their tags share a disk, and a disk that exists is not written again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TypeVar

from banger.errors import Error
from banger.host.fs import open_partial, require_free
from banger.host.thread import in_stoppable_thread
from banger.images.disks.ext4 import Ext4Writer
from banger.images.disks.merge import LayerInput, Limits, merge_layers
from banger.images.disks.source import Source
from banger.images.reference.documents import ImagePlan
from banger.model.operation import Report
from banger.model.settings import Settings
from banger.model.sizes import TIB

# Raise this when the same layers would give a different disk.
WRITER = 2
_LEAST_FREE_FACTOR = 2

Count = Callable[[int], None]
T = TypeVar("T")


@dataclass(frozen=True)
class DiskPlan:
    """A disk to write. `digest` (64 hex digits) names it; `size_bytes` None: sized by its contents; `keep_free_bytes`
    of the host's file system stay free. With `whiteouts`, names that begin with `.wh.` hide files, as in layers;
    without, they name files, as in a tree."""

    digest: str
    size_bytes: int | None
    limits: Limits
    keep_free_bytes: int = 0
    whiteouts: bool = True


def plan_disk(
    diff_ids: Sequence[str], size_bytes: int, settings: Settings, whiteouts: bool = True
) -> DiskPlan:
    """The disk of layers, the lowest first. `size_bytes` 0: sized by its contents. Without `whiteouts` the layers are
    one tree, whose names all mean files."""
    kind = "disk" if whiteouts else "tree's disk"
    text = "\n".join([f"banger {kind} {WRITER}", str(size_bytes), *diff_ids])
    return DiskPlan(
        hashlib.sha256(text.encode()).hexdigest(),
        size_bytes or None,
        Limits(inflated_bytes=settings.images.max_inflated_bytes, entries=settings.images.max_entries),
        settings.limits.disk_reserve_bytes,
        whiteouts,
    )


def find_lower(diff_ids: Sequence[str], digests: Collection[str], settings: Settings) -> str:
    """The disk among `digests` that is made of the most of the lower layers, without the last one; "" if there is
    none."""
    for count in range(len(diff_ids) - 1, 0, -1):
        if (digest := plan_disk(diff_ids[:count], 0, settings).digest) in digests:
            return digest
    return ""


async def import_layers(source: Source, plan: ImagePlan, disk: DiskPlan, final: Path, report: Report) -> None:
    """Fetch the missing layers and write the disk as `final`, which appears only after every digest was right.

    A cancellation ends the downloads and the writer, and leaves no file."""
    final.parent.mkdir(parents=True, exist_ok=True)
    require_free(final.parent, plan.size_bytes * _LEAST_FREE_FACTOR, "the root disk")
    await source.prefetch(plan, report)
    with contextlib.ExitStack() as stack:
        blobs = [stack.enter_context(await source.open_layer(layer)) for layer in plan.layers]
        layers = [
            LayerInput(layer.digest, layer.diff_id, blob.path, blob.offset, blob.size)
            for layer, blob in zip(plan.layers, blobs, strict=True)
        ]
        await in_counting_thread(
            lambda count, cancel: write_disk(layers, disk, final, count, cancel), plan.size_bytes, report
        )


async def in_counting_thread(work: Callable[[Count, Event], T], total_bytes: int, report: Report) -> T:
    """What `work` returns. `work` counts the bytes that it has read, and checks whether it is cancelled; its progress
    is reported through the loop. The thread has ended when this returns or is cancelled."""
    loop = asyncio.get_running_loop()
    done = 0

    def count(read_bytes: int) -> None:
        nonlocal done
        done += read_bytes
        loop.call_soon_threadsafe(report, "root disk", "", min(done, total_bytes), total_bytes, "bytes")

    return await in_stoppable_thread(lambda cancel: work(count, cancel))


def write_disk(
    layers: Sequence[LayerInput], disk: DiskPlan, final: Path, count: Count, cancel: Event
) -> None:
    """Blocking. Raises the errors of merge and writer; then `final` does not exist."""
    identity = bytes.fromhex(disk.digest)
    grows_to_bytes = max(TIB, disk.size_bytes or 0)
    with open_partial(final) as partial:
        with Ext4Writer(
            partial,
            uuid=identity[:16],
            hash_seed=identity[16:],
            grows_to_bytes=grows_to_bytes,
            keep_free_bytes=disk.keep_free_bytes,
        ) as writer:
            root = merge_layers(layers, writer, disk.limits, count, cancel, disk.whiteouts)
            writer.finish(root, size_bytes=disk.size_bytes)
        if cancel.is_set():
            raise Error("cancelled", "the import was cancelled")
        partial.chmod(0o444)
