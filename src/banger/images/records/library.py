"""The images on this host: built, found, removed.

Records are in the store, disks in `paths.images/<digest>.ext4`, named by their contents. No program writes to a disk:
machines run on overlays. A disk that no record names any more stays until `prune`, because machines may run from it.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from banger.bundles.members import BundleFile
from banger.catalogs.offers import make_offers
from banger.catalogs.shelf import PREFIX as CATALOG
from banger.catalogs.shelf import Found, Shelf, is_of
from banger.catalogs.sources import pull_first
from banger.errors import BadConfig, BadReference, Cancelled, Error, NameTaken, NoSpace
from banger.host import cpu
from banger.host.apt import AptTree, suite_directory
from banger.host.fs import PARTIAL, disk_usage_bytes, remove_whole_aside, require_free
from banger.host.paths import Paths
from banger.host.run import find_tool
from banger.host.thread import LONG, in_stoppable_thread, in_thread, load_modules
from banger.images.disks.source import Source, SourceContext
from banger.images.fetch.blobs import BlobStore
from banger.images.records.debian import build_tree, prepare_image, recipe_of
from banger.images.records.names import (
    local_name,
    name_of,
    not_found,
    other_names,
    own_name,
    refuse_misspelt,
)
from banger.images.records.namespace import (
    have_ranges,
    open_work_directory,
    remove_owned_tree,
    require_namespace,
)
from banger.images.records.rootfs import PREFIX, RootfsRef, parse_rootfs_ref, require_directory
from banger.images.records.turns import Turns
from banger.images.reference.documents import ImagePlan
from banger.images.reference.history import steps_of
from banger.images.reference.platform import Platform, parse_platform
from banger.images.reference.reference import (
    Reference,
    SourceRef,
    format_source,
    parse_reference,
    parse_source,
)
from banger.model.catalog import BundleSource, DebianSource, ImageEntry, OciSource, Offer
from banger.model.catalog import Source as EntrySource
from banger.model.event import Tell, tell_nobody
from banger.model.image import Image, ImageConfig
from banger.model.operation import Report
from banger.model.settings import Settings, read_settings
from banger.model.sizes import GIB

_BUILD_NEEDS_BYTES = GIB
_PATIENCE_S = 1.0  # when a task is cancelled that waits for a file system whose server is gone
_NO_OTHER_SOURCE_HELPS = (NoSpace, Cancelled, NameTaken, BadReference, BadConfig)
_DEBIAN_CONFIG = ImageConfig(
    env=["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"],
)
Images = list[Image]  # `list` is a method's name below
Offers = list[Offer]


class ImageRecords(Protocol):
    """The store's table of images, by name."""

    def put(self, record: Image) -> None: ...
    def get(self, name: str) -> Image | None: ...
    def all(self) -> list[Image]: ...
    def delete(self, name: str) -> bool: ...


@dataclass(frozen=True)
class Wish:
    """How the user wants an image. `platform` "": this host's; `size_bytes` 0: by its contents; `name` "": the source's
    name; `stdin`: the bytes that the reference "-" means."""

    force: bool = False
    platform: str = ""
    insecure: bool = False
    size_bytes: int = 0
    name: str = ""
    stdin: AsyncIterable[bytes] | None = None


class ImageLibrary:
    """Lives as long as the daemon; used from its event loop."""

    def __init__(self, paths: Paths, records: ImageRecords, shelf: Shelf | None = None) -> None:
        self.directory = paths.images
        self._paths = paths
        self._records = records
        self._shelf = shelf or Shelf(paths)
        self._pulling = Turns()
        self.tell: Tell = tell_nobody

    async def pull(self, ref: str, report: Report, wish: Wish | None = None) -> Image:
        """Pull what `ref` is now: a name of a catalog, a directory (`rootfs:`), a registry reference or an archive (see
        `images.reference`). Nothing is made that is on this host already, unless forced.

        Raises `image_not_found`, `image_build_failed`, `download_failed`, `insufficient_disk`, `tool_missing`,
        `bad_name`, `file_not_found`, and the errors of catalogs, sources and the merge."""
        wish = wish or Wish()
        if ref.startswith(PREFIX):
            rootfs = parse_rootfs_ref(ref)
            await LONG.run(partial(require_directory, rootfs), patience_s=_PATIENCE_S)
            if self._shelf.find_image(rootfs.name):
                raise Error(
                    "name_taken", f"{rootfs.name} is an image of a catalog", f"use {PREFIX}NAME=/path"
                )
            async with self._pulling.take(rootfs.name, report) as report:
                return await self._pull_rootfs(rootfs, report, wish.force)
        found = await self._look_up(ref, wish, report)
        if found is not None:
            async with self._pulling.take(found.name, report) as report:
                return await self._pull_entry(found, report, wish)
        refuse_misspelt(ref, self._shelf)
        source = parse_source(ref)
        async with self._pulling.take(ref, report) as report:
            return await self._pull_oci(source, report, wish)

    async def ensure(self, ref: str, report: Report) -> Image:
        """The image of this name on this host, however old; it is pulled if there is none. Raises as `pull`."""
        image = self.find(ref)
        if image is not None:
            return image
        return await self.pull(ref, report)

    def find(self, ref: str) -> Image | None:
        """The image on this host with this name, alias, reference in any spelling, or source. A record whose disk is
        gone (the user cleared the cache) does not count."""
        record = self._named(ref)
        if record is None or not self.disk(record).exists():
            return None
        if ref.startswith(PREFIX) and record.source != _rootfs_source(ref):
            return None
        return record

    def get(self, name: str) -> Image:
        """As `find`. Raises `image_not_found`."""
        image = self.find(name)
        if image is None:
            raise not_found(name, [image.name for image in self._records.all()], self._shelf)
        return image

    def list(self) -> Images:
        return self._records.all()

    def offers(self, search: str = "") -> Offers:
        """The images of all catalogs, and whether each is on this host."""

        def catalog_of(name: str) -> str | None:
            record = self._records.get(name)
            return record.catalog if record is not None else None

        return make_offers(self._shelf.images(), catalog_of, search)

    def tag(self, name: str, new: str) -> Image:
        """Give an image another name, which may belong to another image until then. Raises `image_not_found`,
        `name_taken`, `bad_reference`."""
        record = self.get(name)
        return self._add(msgspec.structs.replace(record, name=own_name(new, self._shelf)))

    async def register(
        self, rootfs: Path, name: str, source: str = "", config: ImageConfig | None = None, base: str = ""
    ) -> Image:
        """Register a copy of a ready ext4 disk. `base` is the digest of the disk that it was once. Raises
        `file_not_found`, `image_invalid`, `insufficient_disk`."""
        await load_modules("banger.images.records.ready_disk")
        from banger.images.records.ready_disk import copy_ready_disk

        source = source or f"disk:{rootfs}"
        name = own_name(name, self._shelf)
        record = _record(name, cpu.architecture(), "", source, config or ImageConfig())
        record.base = base
        reserve_bytes = read_settings(self._paths.config).limits.disk_reserve_bytes
        record.digest = await copy_ready_disk(rootfs, self._paths.images, reserve_bytes)
        return self._keep(record, "made")

    async def delete(self, name: str, in_use: Callable[[Image], Sequence[str]]) -> None:
        """Delete an image. `in_use` names the machines that need it. Raises `image_not_found`, `in_use`."""
        record = self._named(name)
        if record is None:
            raise not_found(name, [image.name for image in self._records.all()], self._shelf)
        users = in_use(record)
        if users:
            raise Error(
                "in_use",
                f"image {record.name} is used by {', '.join(users)}",
                "delete those machines and snapshots first",
                {"machines": [*users]},
            )
        self._records.delete(record.name)
        if all(other.digest != record.digest for other in self._records.all()):
            hint = "the image is deleted; free its disk with: banger image prune"
            await remove_whole_aside(self.disk(record), hint)

    async def stale_disks(self, keep: frozenset[str]) -> Sequence[Path]:
        """The disks whose digest neither a record nor `keep` names."""
        disks = await in_thread(lambda: [*self._paths.images.glob("[!.]*.ext4")])
        known = keep | self.digests()  # again, after the listing
        return [disk for disk in disks if disk.stem not in known]

    def digests(self) -> frozenset[str]:
        """The digests of all disks that records name."""
        return frozenset(image.digest for image in self._records.all())

    async def sweep(self) -> int:
        """Remove what builds of a killed daemon left. Returns how many. Only while no build runs."""
        leftovers = await in_thread(lambda: [*self._paths.images.glob(f"{PARTIAL}*")])
        return sum([await remove_owned_tree(path) for path in leftovers])

    def disk(self, image: Image) -> Path:
        """The path of the disk itself, without links: a frozen disk above it may outlive a link."""
        return (self._paths.images / f"{image.digest}.ext4").resolve()

    def blobs(self) -> BlobStore:
        """The store of compressed layers; disks do not depend on it."""
        return BlobStore(self._paths.oci)

    def source_context(self, catalog: str, settings: Settings, wish: Wish | None = None) -> SourceContext:
        """How the source of an image is read: as its catalog named it, or the user, for whom `catalog` is empty. Raises
        `catalog_not_found`."""
        wish = wish or Wish()
        return SourceContext(
            self.blobs(),
            self._paths.config,
            wish.insecure,
            self._shelf.host_of(catalog) if catalog else "",
            wish.stdin,
            keep_free_bytes=settings.limits.disk_reserve_bytes,
        )

    async def _look_up(self, ref: str, wish: Wish, report: Report) -> Found[ImageEntry] | None:
        """The entry of a catalog; None if `ref` is no name of a catalog. Raises as `Shelf.require_sound`, and
        `image_not_found`, `platform_not_found`."""
        architecture = parse_platform(wish.platform).architecture if wish.platform else ""
        found = await self._shelf.look_up(ref, self._shelf.find_image, architecture, report)
        if found is None and ref.startswith(CATALOG):
            raise not_found(ref, [], self._shelf)
        if found is None and self._shelf.find_image(ref):
            raise Error(
                "platform_not_found", f"no catalog has {ref} for {wish.platform}", "banger image catalog"
            )
        return found

    async def _pull_entry(self, found: Found[ImageEntry], report: Report, wish: Wish) -> Image:
        if wish.name:
            own_name(wish.name, self._shelf)  # an unusable name is refused before the work
        return await pull_first(
            found.entry,
            lambda source: self._pull_source(found, source, report, wish),
            report,
            _NO_OTHER_SOURCE_HELPS,
        )

    async def _pull_source(
        self, found: Found[ImageEntry], source: EntrySource, report: Report, wish: Wish
    ) -> Image:
        match source:
            case DebianSource():
                return await self._pull_debian(found, source, report, wish)
            case OciSource():
                return await self._pull_pinned(found, source, report, wish)
            case BundleSource():
                return await self._pull_bundle(found, source, report, wish)

    async def _pull_bundle(
        self, found: Found[ImageEntry], source: BundleSource, report: Report, wish: Wish
    ) -> Image:
        await load_modules("banger.images.records.bundled")
        from banger.images.records.bundled import unpack_image

        if wish.size_bytes:
            raise Error("unsupported", f"the disk of {found.entry.name} has a fixed size")
        where = f"catalog {found.catalog}, bundle {source.digest}"
        present = self._present(found, where, wish)
        if present is not None:
            return present
        await in_thread(
            require_free,
            self._paths.images,
            source.size_bytes + found.entry.size_bytes,
            f"image {found.name}",
        )
        if self.blobs().have(source.digest):
            report("cache", f"the bundle of {found.entry.name} is here")
        bundle = await self._shelf.open_bundle(found, source, report)
        with bundle:
            report("unpack", found.entry.name)
            manifest, digest = await in_stoppable_thread(
                lambda stop: unpack_image(bundle, self._paths.images, found.entry, stop)
            )
        record = _record(found.name, manifest.architecture, digest, where, manifest.config)
        return self._keep(self._marked(record, found, wish))

    async def pack(self, image: Image, out: Path) -> BundleFile:
        """Write the bundle of an image to the new file `out`. Returns name, size and digest of its disk. Raises
        `image_invalid`."""
        await load_modules("banger.images.records.bundled")
        from banger.images.records.bundled import pack_image

        try:
            return await in_stoppable_thread(lambda stop: pack_image(image, self.disk(image), out, stop))
        except OSError as exc:
            raise Error("image_invalid", f"{exc.filename}: {exc.strerror}", "check the host's disk") from exc

    def _marked(self, record: Image, found: Found[ImageEntry], wish: Wish) -> Image:
        """The record with the facts of the entry."""
        record.name = own_name(wish.name, self._shelf) if wish.name else found.name
        record.catalog, record.kernel = found.catalog, self._shelf.kernel_of(found)
        record.init = "" if found.entry.init == "agent" else found.entry.init
        return record

    def _present(self, found: Found[ImageEntry], source: str, wish: Wish) -> Image | None:
        """The image of an entry on this host, if it was made from that source, as the user wants it."""
        image = self.find(wish.name or found.name)
        if image is None or wish.force or image.source != source:
            return None
        if image.architecture != found.entry.architecture:
            return None
        if wish.size_bytes not in (0, image.size_bytes):
            return None
        return self._add(self._marked(msgspec.structs.replace(image), found, wish))

    async def _pull_pinned(
        self, found: Found[ImageEntry], source: OciSource, report: Report, wish: Wish
    ) -> Image:
        """Pull by digest. The contents of a digest never change: if the image is on this host, no registry is asked."""
        reference = _pinned_reference(found, source)
        present = self._present(found, format_source(reference), wish)
        return present or await self._pull_oci(reference, report, wish, found)

    async def _pull_oci(
        self, source_ref: SourceRef, report: Report, wish: Wish, found: Found[ImageEntry] | None = None
    ) -> Image:
        # The codecs and the registry client cost 20 MB and 100 ms, which a daemon saves that never pulls.
        await load_modules("banger.images.disks.importing", "banger.images.records.sources.opening")
        from banger.images.disks.importing import find_lower, import_layers, plan_disk
        from banger.images.records.sources.opening import open_source

        platform = parse_platform(wish.platform or f"linux/{cpu.architecture()}")
        settings = read_settings(self._paths.config)
        context = self.source_context(found.catalog if found is not None else "", settings, wish)
        async with open_source(source_ref, context) as source:
            plan = await _resolve(source, platform, report, format_source(source_ref))
            record = _record_of(plan, source_ref)
            others: list[str] = []
            if found is not None:
                record = self._marked(record, found, wish)
            elif wish.name:
                record.name = own_name(wish.name, self._shelf)
            else:
                record.name = name_of(source_ref, self._shelf, plan.called)
                others = other_names(source_ref, self._shelf, plan.also)
            diff_ids = [layer.diff_id for layer in plan.layers]
            disk = plan_disk(diff_ids, wish.size_bytes, settings, plan.whiteouts)
            record.digest = disk.digest
            if not isinstance(source_ref, Reference):  # an archive may be gone when a push needs its layers
                record.base = find_lower(diff_ids, self.digests(), settings)
            if wish.force or not self.disk(record).exists():
                await import_layers(source, plan, disk, self.disk(record), report)
        kept = self._keep(record)
        for name in others:
            self._add(msgspec.structs.replace(kept, name=name))
        return msgspec.structs.replace(kept, other_names=others)

    def _named(self, ref: str) -> Image | None:
        """By exact name first: the image of a directory has no tag. A reference with a catalog finds only images of
        that catalog."""
        record = self._records.get(ref) or self._records.get(local_name(ref, self._shelf))
        return record if record is not None and is_of(ref, record.catalog) else None

    def _add(self, record: Image) -> Image:
        self._records.put(record)
        return record

    async def _pull_debian(
        self, found: Found[ImageEntry], source: DebianSource, report: Report, wish: Wish
    ) -> Image:
        recipe = recipe_of(found, source)
        directory = suite_directory(self._paths.apt, recipe.suite, recipe.architecture)
        apt = AptTree(directory, recipe.suite, recipe.architecture)
        await apt.update(report, wish.force)
        plan = await prepare_image(recipe, apt)
        present = self._present(found, plan.source, wish)
        if present is not None:
            return present
        find_tool("mmdebstrap")
        await require_namespace()
        await in_thread(require_free, self._paths.images, _BUILD_NEEDS_BYTES, f"image {recipe.name}")
        async with open_work_directory(self._paths.images) as work:
            tree = await build_tree(plan, await apt.mirrors(), work, report)
            record = _record(recipe.name, recipe.architecture, "", plan.source, _DEBIAN_CONFIG)
            record = self._marked(record, found, wish)
            await self._import_tree(tree, work, record, report, wish.force, wish.size_bytes)
        return self._keep(record)

    async def _pull_rootfs(self, ref: RootfsRef, report: Report, force: bool) -> Image:
        record = _record(ref.name, cpu.architecture(), "", f"{PREFIX}{ref.directory}", ImageConfig())
        async with open_work_directory(self._paths.images) as work:
            await self._import_tree(ref.directory, work, record, report, force)
        return self._keep(record)

    async def _import_tree(
        self, tree: Path, work: Path, record: Image, report: Report, force: bool, size_bytes: int = 0
    ) -> None:
        """Write the disk of `tree`, through an archive in `work`, and set the digest of `record`."""
        await load_modules("banger.images.disks.importing", "banger.images.records.tree_tar")
        from banger.images.disks.importing import plan_disk
        from banger.images.records.tree_tar import pack_tree, write_tree_disk

        report("root disk", record.name)
        settings = read_settings(self._paths.config)
        reserve_bytes = settings.limits.disk_reserve_bytes
        packed = await pack_tree(tree, work, have_ranges(), report, reserve_bytes)
        disk = plan_disk([packed.diff_id], size_bytes, settings, whiteouts=False)
        record.digest = disk.digest
        if force or not self.disk(record).exists():
            await write_tree_disk(packed, disk, self.disk(record), report)

    def _keep(self, record: Image, how: str = "pulled") -> Image:
        info = self.disk(record).stat()
        record.size_bytes = info.st_size
        record.used_bytes = disk_usage_bytes(self.disk(record))
        name, source = record.name, record.source
        message = f"image {name} was {how} from {source}"
        self._add(record)
        self.tell(f"image.{how}", f"image/{name}", message, digest=record.digest, source=source)
        return record


async def _resolve(source: Source, platform: Platform, report: Report, ref: str) -> ImagePlan:
    """Resolve the plan. Errors of a source name hosts and files; the name of the image is added here."""
    try:
        plan = await source.resolve(platform, report)
    except Error as exc:
        if ref in exc.message:
            raise
        raise Error(exc.code, f"cannot pull {ref}: {exc.message}", exc.hint, exc.details) from exc
    for warning in plan.warnings:
        report("warning", warning)
    return plan


def _pinned_reference(found: Found[ImageEntry], source: OciSource) -> Reference:
    """A reference to a registry, pinned to a digest. Other references are refused: `oci:/path` would be a directory of
    this host, whose digest is not checked. Raises `catalog_invalid`."""
    try:
        return parse_reference(source.reference)
    except Error as exc:
        raise Error(
            "catalog_invalid", f"catalog {found.catalog}: {exc.message}", "tell the publisher of the catalog"
        ) from exc


def _rootfs_source(ref: str) -> str:
    return f"{PREFIX}{parse_rootfs_ref(ref).directory}"


def _record_of(plan: ImagePlan, source: SourceRef) -> Image:
    """A record without a name, which the caller sets."""
    record = _record("", plan.platform.architecture, "", format_source(source), plan.config)
    record.manifest_digest, record.layers = plan.manifest_digest, len(plan.layers)
    record.steps = steps_of(plan.history, plan.layers)
    return record


def _record(name: str, architecture: str, digest: str, source: str, config: ImageConfig) -> Image:
    """A record without sizes, which are set after the disk is written."""
    return Image(
        name=name,
        digest=digest,
        architecture=architecture,
        size_bytes=0,
        used_bytes=0,
        source=source,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        config=config,
    )
