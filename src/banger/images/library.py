"""The images on this host: built, found, removed.

Records live in the store, disks in `paths.images/<digest>.ext4`, named by the digest of the tree they hold. Disks
are never written to: machines run on overlays of them. One that a record no longer names stays until `prune`,
because machines may run from it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from banger.errors import Error
from banger.host import cpu
from banger.host.apt import AptTree
from banger.host.fs import PARTIAL, disk_usage_bytes, require_free
from banger.host.paths import Paths
from banger.host.run import find_tool
from banger.images.catalog import DebianImage, canonical_name, find_recipe, not_found
from banger.images.debian import build_tree, plan_image
from banger.images.disk import Survey, make_disk, survey_tree
from banger.images.namespace import have_ranges, open_work_directory, remove_owned_tree, require_namespace
from banger.images.rootfs import PREFIX, RootfsRef, parse_rootfs_ref
from banger.model.image import Image, ImageConfig
from banger.model.operation import Report
from banger.model.sizes import GIB

_BUILD_NEEDS_BYTES = GIB
_DEBIAN_CONFIG = ImageConfig(
    env=["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"],
)
Images = list[Image]  # `list` is a method's name below


class ImageRecords(Protocol):
    """The store's table of images, by name."""

    def put(self, record: Image) -> None: ...
    def get(self, name: str) -> Image | None: ...
    def all(self) -> list[Image]: ...
    def delete(self, name: str) -> bool: ...


class ImageLibrary:
    """Lives as long as the daemon; used from its event loop."""

    def __init__(self, paths: Paths, records: ImageRecords) -> None:
        self._paths = paths
        self._records = records
        self._pulling: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def pull(self, ref: str, report: Report, force: bool = False) -> Image:
        """What `ref` is now; nothing is built when that is here already, unless `force`.

        Raises `image_not_found`, `image_build_failed`, `download_failed`, `insufficient_disk`, `tool_missing`,
        `bad_name`, `file_not_found`."""
        if ref.startswith(PREFIX):
            rootfs = parse_rootfs_ref(ref)
            if find_recipe(rootfs.name):
                raise Error("name_taken", f"{rootfs.name} is an image of its own", f"use {PREFIX}NAME=/path")
            async with self._pulling[rootfs.name]:
                return await self._pull_rootfs(rootfs, report, force)
        recipe = find_recipe(ref)
        if recipe is None:
            raise not_found(ref, [image.name for image in self._records.all()])
        async with self._pulling[recipe.name]:
            return await self._pull_debian(recipe, report, force)

    async def ensure(self, ref: str, report: Report) -> Image:
        """The one that is here, however old; pulled when there is none. Raises as `pull`."""
        name = parse_rootfs_ref(ref).name if ref.startswith(PREFIX) else canonical_name(ref)
        image = self._present(name)
        if image is not None and (not ref.startswith(PREFIX) or image.source == _rootfs_source(ref)):
            return image
        return await self.pull(ref, report)

    def get(self, name: str) -> Image:
        """Raises `image_not_found`."""
        image = self._present(canonical_name(name))
        if image is None:
            raise not_found(name, [image.name for image in self._records.all()])
        return image

    def list(self) -> Images:
        return self._records.all()

    def delete(self, name: str, in_use: Callable[[str], Sequence[str]]) -> None:
        """`in_use` names the machines that need an image. Raises `image_not_found`, `in_use`."""
        record = self._records.get(canonical_name(name))
        if record is None:
            raise not_found(name, [image.name for image in self._records.all()])
        users = in_use(record.name)
        if users:
            raise Error(
                "in_use",
                f"image {record.name} is used by {', '.join(users)}",
                "delete those machines first",
                {"machines": list(users)},
            )
        self._records.delete(record.name)
        if all(other.digest != record.digest for other in self._records.all()):
            self.disk(record).unlink(missing_ok=True)

    def prune(self, keep: frozenset[str]) -> int:
        """Remove the disks whose digest neither a record nor `keep` names; how many. Blocking."""
        known = keep | {image.digest for image in self._records.all()}
        stale = [p for p in self._paths.images.glob("[!.]*.ext4") if p.stem not in known]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)

    async def sweep(self) -> int:
        """Remove what builds of a killed daemon left; how many. Only while nothing is being built."""
        leftovers = await asyncio.to_thread(lambda: [*self._paths.images.glob(f"{PARTIAL}*")])
        for path in leftovers:
            await remove_owned_tree(path)
        return len(leftovers)

    def disk(self, image: Image) -> Path:
        return self._paths.images / f"{image.digest}.ext4"

    def _present(self, name: str) -> Image | None:
        """A record whose disk is gone (somebody cleared the cache) does not count."""
        record = self._records.get(name)
        return record if record is not None and self.disk(record).exists() else None

    async def _pull_debian(self, recipe: DebianImage, report: Report, force: bool) -> Image:
        apt = AptTree(self._paths.apt / recipe.suite, recipe.suite, recipe.architecture)
        await apt.update(report, force)
        plan = await plan_image(recipe, apt)
        present = self._present(recipe.name)
        if present is not None and present.source == plan.source and not force:
            return present
        find_tool("mmdebstrap")
        await require_namespace()
        require_free(self._paths.images, _BUILD_NEEDS_BYTES, f"image {recipe.name}")
        async with open_work_directory(self._paths.images) as work:
            tree = await build_tree(plan, await apt.mirrors(), work, report)
            report("root disk", recipe.name)
            survey = await survey_tree(tree, ranges=True)
            record = _record(recipe.name, recipe.architecture, survey, plan.source, _DEBIAN_CONFIG)
            await make_disk(tree, survey, self.disk(record), ranges=True, epoch=recipe.epoch)
        return self._keep(record)

    async def _pull_rootfs(self, ref: RootfsRef, report: Report, force: bool) -> Image:
        report("root disk", str(ref.directory))
        ranges = have_ranges()
        survey = await survey_tree(ref.directory, ranges)
        source = f"{PREFIX}{ref.directory}"
        record = _record(ref.name, cpu.architecture(), survey, source, ImageConfig())
        if force or not self.disk(record).exists():
            await make_disk(ref.directory, survey, self.disk(record), ranges, epoch=0)
        return self._keep(record)

    def _keep(self, record: Image) -> Image:
        info = self.disk(record).stat()
        record.size_bytes = info.st_size
        record.used_bytes = disk_usage_bytes(self.disk(record))
        self._records.put(record)
        return record


def _rootfs_source(ref: str) -> str:
    return f"{PREFIX}{parse_rootfs_ref(ref).directory}"


def _record(name: str, architecture: str, survey: Survey, source: str, config: ImageConfig) -> Image:
    """Sizes are filled in once the disk is there."""
    return Image(
        name=name,
        digest=survey.digest,
        architecture=architecture,
        size_bytes=0,
        used_bytes=0,
        source=source,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        config=config,
    )
