"""Space on the disk: what uses it, for whom, and what can be removed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from banger.host.fs import disk_usage_bytes, remove_aside
from banger.host.paths import Paths
from banger.host.thread import in_thread
from banger.images.fetch.blobs import BlobStore
from banger.images.records.library import ImageLibrary
from banger.machines.copies.snapshots import SnapshotLibrary
from banger.machines.keep.registry import Registry
from banger.machines.life.lives import Lives
from banger.machines.life.makings import Makings
from banger.model.image import Image, Pruned
from banger.model.machine import Machine
from banger.model.report import DiskUsage, Room
from banger.model.template import Snapshot


async def prune_images(
    images: ImageLibrary, registry: Registry, snapshots: SnapshotLibrary, *, dry_run: bool
) -> Pruned:
    """Remove disks of images that no name and no machine uses."""
    stale = await _stale_disks(images, registry, snapshots)
    sizes = {path: await in_thread(_total, [path]) for path in stale}
    wanted = images.digests()  # an image that was made again meanwhile
    doomed = [] if dry_run else [disk for disk in stale if disk.stem not in wanted]
    kept = await remove_aside(doomed)
    freed = [size for path, size in sizes.items() if path not in kept]
    return Pruned(
        count=len(freed),
        freed_bytes=sum(freed),
        directory=str(images.directory),
        dry_run=dry_run,
        kept=[str(path) for path in kept],
    )


async def prune_blobs(images: ImageLibrary, *, dry_run: bool) -> Pruned:
    """Remove the compressed layers that registries sent; disks do not depend on them."""
    pruned = await in_thread(images.blobs().prune, dry_run)
    return Pruned(
        count=pruned.blobs,
        freed_bytes=pruned.freed_bytes,
        directory=pruned.directory,
        dry_run=dry_run,
        kept=list(pruned.kept),
    )


async def disk_usage(makings: Makings, lives: Lives, snapshots: SnapshotLibrary) -> DiskUsage:
    """Reads records in the event loop, and files in a thread. A file with hard links in several directories counts in
    each."""
    machines = [lives.holdings.places(machine).directory for machine in lives.registry.all()]
    frozen = await makings.templates.prune(everything=True, dry_run=True)
    kernels = [makings.kernels.directory(kernel) for kernel in makings.kernels.list()]
    stale = await _stale_disks(makings.images, lives.registry, snapshots)
    used = {mount.volume for machine in lives.registry.all() for mount in machine.spec.volumes}
    root, known = makings.paths.volumes, lives.registry.volumes.all()
    volumes = [root / volume.id for volume in known]
    idle = [root / volume.id for volume in known if volume.name not in used]
    blobs = makings.images.blobs()
    return await in_thread(_measure, makings.paths, blobs, stale, machines, kernels, frozen, volumes, idle)


def _measure(
    paths: Paths,
    blob_store: BlobStore,
    stale: list[Path],
    machines: list[Path],
    kernels: list[Path],
    frozen: Pruned,
    volumes: list[Path],
    idle: list[Path],
) -> DiskUsage:
    disks = [*paths.images.glob("[!.]*.ext4")]
    blobs = blob_store.usage()
    snapshots = [*paths.snapshots.glob("[!.]*")]
    info = os.statvfs(paths.cache)
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
            Room(kind="volumes", count=len(volumes), bytes=_total(volumes), reclaimable_bytes=_total(idle)),
            Room(kind="machines", count=len(machines), bytes=_total(machines), reclaimable_bytes=0),
        ],
        free_bytes=info.f_bavail * info.f_frsize,
    )


async def _stale_disks(images: ImageLibrary, registry: Registry, snapshots: SnapshotLibrary) -> list[Path]:
    """Disks of images without a name that no machine and no snapshot uses."""
    used = {snapshot.shape.image_digest for snapshot in await snapshots.list()}
    used |= {machine.image_digest for machine in registry.all()}
    return [*await images.stale_disks(frozenset(used))]


def users_of_image(
    images: ImageLibrary, registry: Registry, snapshots: Sequence[Snapshot], image: Image
) -> list[str]:
    """Names of the machines whose disk lies or will lie above this image's disk, and of the snapshots that need it."""

    def needs(machine: Machine) -> bool:
        if machine.image_digest:
            return machine.image_digest == image.digest
        wanted = images.find(machine.spec.image)
        return wanted is not None and wanted.name == image.name

    machines = [machine.name for machine in registry.all() if needs(machine)]
    return machines + [_name(s) for s in snapshots if s.shape.image_digest == image.digest]


def users_of_kernel(registry: Registry, snapshots: Sequence[Snapshot], name: str) -> list[str]:
    machines = [m.name for m in registry.all() if name in (m.kernel, m.spec.kernel)]
    return machines + [_name(s) for s in snapshots if s.kernel == name]


def _name(snapshot: Snapshot) -> str:
    return f"snapshot {snapshot.machine}:{snapshot.tag}"


def _total(paths: Iterable[Path]) -> int:
    return sum(disk_usage_bytes(path) for path in paths if path.exists())
