"""Room on the disk: what takes it, what nobody needs any more."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from banger.host.fs import disk_usage_bytes, remove_aside
from banger.host.thread import in_thread
from banger.machines.copies.snapshots import list_snapshots
from banger.machines.keep.users import used_image_digests
from banger.machines.life.launch import plan_places
from banger.machines.parts import Parts
from banger.model.image import Pruned
from banger.model.report import DiskUsage, Room


async def prune_images(parts: Parts, *, dry_run: bool) -> Pruned:
    """Remove disks that no name and no machine uses."""
    stale = await _stale_disks(parts)
    sizes = {path: await in_thread(_total, [path]) for path in stale}
    wanted = parts.images.digests()  # an image that was made again meanwhile
    doomed = [] if dry_run else [disk for disk in stale if disk.stem not in wanted]
    kept = await remove_aside(doomed)
    freed = [size for path, size in sizes.items() if path not in kept]
    return Pruned(
        count=len(freed),
        freed_bytes=sum(freed),
        directory=str(parts.paths.images),
        dry_run=dry_run,
        kept=[str(path) for path in kept],
    )


async def prune_blobs(parts: Parts, *, dry_run: bool) -> Pruned:
    """Remove the compressed layers of registries; disks do not depend on them."""
    pruned = await in_thread(parts.images.blobs().prune, dry_run)
    return Pruned(
        count=pruned.blobs,
        freed_bytes=pruned.freed_bytes,
        directory=pruned.directory,
        dry_run=dry_run,
        kept=list(pruned.kept),
    )


async def disk_usage(parts: Parts) -> DiskUsage:
    """Records are read here, in the loop; files are looked at in a thread. What several directories have links of is
    counted in each."""
    machines = [plan_places(parts, machine).directory for machine in parts.registry.all()]
    frozen = await parts.templates.prune(everything=True, dry_run=True)
    kernels = [parts.kernels.directory(kernel) for kernel in parts.kernels.list()]
    return await in_thread(_measure, parts, await _stale_disks(parts), machines, kernels, frozen)


def _measure(
    parts: Parts, stale: list[Path], machines: list[Path], kernels: list[Path], frozen: Pruned
) -> DiskUsage:
    disks = [*parts.paths.images.glob("[!.]*.ext4")]
    blobs = parts.images.blobs().usage()
    snapshots = [*parts.paths.snapshots.glob("[!.]*")]
    info = os.statvfs(parts.paths.cache)
    return DiskUsage(
        rooms=[
            Room(kind="images", count=len(disks), bytes=_total(disks), reclaimable_bytes=_total(stale)),
            Room(
                kind="blobs",
                count=blobs.blobs + blobs.partials,
                bytes=blobs.blob_bytes + blobs.partial_bytes,
                reclaimable_bytes=blobs.blob_bytes + blobs.partial_bytes,
            ),
            Room(kind="kernels", count=len(kernels), bytes=_total(kernels), reclaimable_bytes=0),
            Room(
                kind="templates",
                count=frozen.count,
                bytes=frozen.freed_bytes,
                reclaimable_bytes=frozen.freed_bytes,
            ),
            Room(kind="snapshots", count=len(snapshots), bytes=_total(snapshots), reclaimable_bytes=0),
            Room(kind="machines", count=len(machines), bytes=_total(machines), reclaimable_bytes=0),
        ],
        free_bytes=info.f_bavail * info.f_frsize,
    )


async def _stale_disks(parts: Parts) -> list[Path]:
    return [*await parts.images.stale_disks(used_image_digests(parts, await list_snapshots(parts)))]


def _total(paths: Iterable[Path]) -> int:
    return sum(disk_usage_bytes(path) for path in paths if path.exists())
