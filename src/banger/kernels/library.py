"""The kernels on this host: pulled, found, removed.

Records live in the store, files in `paths.kernels/<digest>/` (see kernels.debian). A directory is complete
as soon as it has its name. A newer version of a kernel gets a directory of its own; the old one stays until
`prune`, because machines may run from it.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from banger.bundles.members import BundleFile
from banger.catalogs.offers import make_offers
from banger.catalogs.shelf import PREFIX as CATALOG
from banger.catalogs.shelf import Found, Shelf, is_of
from banger.catalogs.sources import pull_first
from banger.errors import Cancelled, Error, NoSpace
from banger.host.apt import AptTree, Package, suite_directory
from banger.host.bounded import Locks
from banger.host.fs import (
    PARTIAL,
    discard,
    disk_usage_bytes,
    open_partial,
    remove_whole_aside,
    require_free,
    sweep_partials,
)
from banger.host.paths import Paths
from banger.host.thread import in_stoppable_thread, in_thread
from banger.kernels.bundled import kernel_digest, pack_kernel, unpack_kernel_bundle
from banger.kernels.debian import PREFIX as IMAGE_PACKAGES
from banger.kernels.debian import DebianKernel, recipe_of, unpack_kernel
from banger.model.catalog import BundleSource, DebianSource, KernelEntry, OciSource, Offer
from banger.model.catalog import Source as EntrySource
from banger.model.event import Tell, tell_nobody
from banger.model.image import Kernel
from banger.model.operation import Report
from banger.model.sizes import MIB

_NEEDED_BYTES = 400 * MIB
_NO_OTHER_SOURCE_HELPS = (NoSpace, Cancelled)
Kernels = list[Kernel]  # `list` is a method's name below
Offers = list[Offer]


class KernelRecords(Protocol):
    """The store's table of kernels, by name."""

    def put(self, record: Kernel) -> None: ...
    def get(self, name: str) -> Kernel | None: ...
    def all(self) -> list[Kernel]: ...
    def delete(self, name: str) -> bool: ...


class KernelLibrary:
    """Lives as long as the daemon; used from its event loop."""

    def __init__(self, paths: Paths, records: KernelRecords, shelf: Shelf | None = None) -> None:
        self._paths = paths
        self._records = records
        self._shelf = shelf or Shelf(paths)
        self._pulling = Locks()
        self.tell: Tell = tell_nobody

    async def pull(self, ref: str, report: Report, force: bool = False, architecture: str = "") -> Kernel:
        """Pull the kernel that catalogs have under this name now. Nothing is made if that kernel is on this host
        already, unless `force`. `architecture` empty: this host's.

        Raises `kernel_not_found`, `download_failed`, `kernel_invalid`, `insufficient_disk`, `tool_missing`, and what
        catalogs and bundles raise."""
        found = await self._shelf.look_up(ref, self._shelf.find_kernel, architecture, report)
        if found is None:
            raise Error("kernel_not_found", f"no kernel is known as {ref!r}", self._hint(ref))
        async with self._pulling[found.name]:
            return await self._pull_entry(found, report, force)

    async def ensure(self, ref: str, report: Report) -> Kernel:
        """The kernel of this name on this host, whatever its version; it is pulled if there is none. Raises as
        `pull`."""
        return self._present(ref) or await self.pull(ref, report)

    def get(self, name: str) -> Kernel:
        """The kernel of this name on this host. Raises `kernel_not_found`."""
        kernel = self._present(name)
        if kernel is None:
            raise Error("kernel_not_found", f"there is no kernel {name!r} here", self._hint(name))
        return kernel

    def get_version(self, name: str, digest: str) -> Kernel:
        """The kernel with which a machine was frozen: the name may stand for a newer kernel by now, and the files of
        this version may be gone. Raises `kernel_not_found` if no kernel has the name."""
        return msgspec.structs.replace(self.get(name), digest=digest)

    def list(self) -> Kernels:
        return self._records.all()

    def offers(self, search: str = "") -> Offers:
        """The kernels of all catalogs, and whether each is on this host."""

        def catalog_of(name: str) -> str | None:
            record = self._records.get(name)
            return record.catalog if record is not None else None

        return make_offers(self._shelf.kernels(), catalog_of, search)

    async def delete(self, name: str, in_use: Callable[[str], Sequence[str]]) -> None:
        """Delete a kernel. `in_use` names the machines that need it. Raises `kernel_not_found`, `in_use`."""
        record = self._named(name)
        if record is None:
            raise Error("kernel_not_found", f"there is no kernel {name!r} here", self._hint(name))
        users = in_use(record.name)
        if users:
            raise Error(
                "in_use",
                f"kernel {record.name} is used by {', '.join(users)}",
                "delete those machines and snapshots first",
                {"machines": list(users)},
            )
        self._records.delete(record.name)
        if all(other.digest != record.digest for other in self._records.all()):
            hint = "the kernel is deleted; remove the directory by hand"
            await remove_whole_aside(self.directory(record), hint)

    def prune(self, keep: frozenset[str]) -> int:
        """Remove the directories whose digest neither a record nor `keep` names. Returns how many were removed.
        Blocking."""
        known = keep | {kernel.digest for kernel in self._records.all()}
        root = self._paths.kernels
        found = root.iterdir() if root.is_dir() else ()
        stale = [p for p in found if p.name not in known and not p.name.startswith(PARTIAL)]
        return sum(map(discard, stale))

    def sweep(self) -> int:
        """Remove what builds of a killed daemon left. Returns how many. Blocking; only while no build runs."""
        return sweep_partials(self._paths.kernels) + sweep_partials(self._paths.initramfs)

    def directory(self, kernel: Kernel) -> Path:
        return self._paths.kernels / kernel.digest

    def vmlinux(self, kernel: Kernel) -> Path:
        return self.directory(kernel) / "vmlinux"

    def modules_disk(self, kernel: Kernel) -> Path:
        return self.directory(kernel) / "modules.ext4"

    def _named(self, ref: str) -> Kernel | None:
        record = self._records.get(ref)
        if record is None and (found := self._shelf.find_kernel(ref)):
            record = self._records.get(found.name)
        return record if record is not None and is_of(ref, record.catalog) else None

    def _present(self, ref: str) -> Kernel | None:
        """The record of a kernel whose files exist. A record whose files are gone (the user cleared the cache) does not
        count."""
        record = self._named(ref)
        return record if record is not None and self.vmlinux(record).exists() else None

    def _present_of(self, found: Found[KernelEntry]) -> Kernel | None:
        """As `_present`, but only a kernel from the same catalog: a kernel with this name may stay from a catalog that
        was removed."""
        kernel = self._present(found.name)
        ours = kernel is not None and is_of(f"{CATALOG}{found.catalog}/", kernel.catalog)
        return kernel if ours else None

    async def _pull_entry(self, found: Found[KernelEntry], report: Report, force: bool) -> Kernel:
        return await pull_first(
            found.entry,
            lambda source: self._pull_source(found, source, report, force),
            report,
            _NO_OTHER_SOURCE_HELPS,
        )

    async def _pull_source(
        self, found: Found[KernelEntry], source: EntrySource, report: Report, force: bool
    ) -> Kernel:
        match source:
            case DebianSource():
                return await self._pull_debian(found, source, report, force)
            case OciSource():
                raise Error(
                    "unsupported", f"{found.entry.name}: banger does not fetch kernels from registries"
                )
            case BundleSource():
                return await self._pull_bundle(found, source, report, force)

    async def _pull_bundle(
        self, found: Found[KernelEntry], source: BundleSource, report: Report, force: bool
    ) -> Kernel:
        where = f"catalog {found.catalog}, bundle {source.digest}"
        present = self._present_of(found)
        if present is not None and present.source == where and not force:
            return present
        await in_thread(
            require_free, self._paths.kernels, source.size_bytes + _NEEDED_BYTES, f"kernel {found.name}"
        )
        bundle = await self._shelf.open_bundle(found, source, report)
        with bundle:
            async with self._work_directory() as work:
                report("unpack", found.entry.name)
                manifest = await in_stoppable_thread(
                    lambda stop: unpack_kernel_bundle(bundle, work / "out", found.entry.digest, stop)
                )
                if manifest.architecture != found.entry.architecture:
                    raise Error(
                        "bundle_invalid",
                        f"the bundle is for {manifest.architecture}",
                        "tell the publisher of the catalog",
                    )
                kernel = Kernel(
                    name=found.name,
                    digest=kernel_digest(manifest),
                    architecture=manifest.architecture,
                    release=manifest.release,
                    version=manifest.version,
                    size_bytes=await in_thread(disk_usage_bytes, work / "out"),
                    source=where,
                    created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                    catalog=found.catalog,
                )
                (work / "out/kernel.json").write_bytes(msgspec.json.encode(kernel))
                await in_thread(self._publish, work / "out", self.directory(kernel))
        return self._keep(kernel)

    async def pack(self, kernel: Kernel, out: Path) -> BundleFile:
        """Write the bundle of a kernel to the new file `out`. Returns name, size and digest of its vmlinux. Raises
        `kernel_invalid`."""
        try:
            return await in_stoppable_thread(
                lambda stop: pack_kernel(kernel, self.directory(kernel), out, stop)
            )
        except OSError as exc:
            raise Error("kernel_invalid", f"{exc.filename}: {exc.strerror}", "check the host's disk") from exc

    @asynccontextmanager
    async def _work_directory(self) -> AsyncIterator[Path]:
        self._paths.kernels.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}work-", dir=self._paths.kernels))
        try:
            yield work
        finally:
            await in_thread(discard, work)

    async def _pull_debian(
        self, found: Found[KernelEntry], source: DebianSource, report: Report, force: bool
    ) -> Kernel:
        recipe = recipe_of(found, source)
        directory = suite_directory(self._paths.apt, recipe.suite, recipe.architecture)
        tree = AptTree(directory, recipe.suite, recipe.architecture)
        await tree.update(report, force)
        package = await tree.find_dependency(recipe.meta, IMAGE_PACKAGES)
        present = self._present_of(found)
        if present is not None and present.version == package.version and not force:
            return present
        await in_thread(require_free, self._paths.kernels, _NEEDED_BYTES, f"kernel {recipe.name}")
        kernel = await self._build(tree, recipe, package, report)
        kernel.catalog = found.catalog
        return self._keep(kernel)

    def _keep(self, kernel: Kernel) -> Kernel:
        self._records.put(kernel)
        message = f"kernel {kernel.name} {kernel.version} was pulled"
        self.tell("kernel.pulled", f"kernel/{kernel.name}", message, version=kernel.version)
        return kernel

    async def _build(self, tree: AptTree, recipe: DebianKernel, package: Package, report: Report) -> Kernel:
        self._paths.kernels.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}work-", dir=self._paths.kernels))
        try:
            deb = await tree.download(package, work, report)
            kernel = await unpack_kernel(recipe, package, deb, work, work / "out", report)
            await in_thread(self._publish, work / "out", self.directory(kernel))
            return kernel
        finally:
            await asyncio.shield(in_thread(_remove_work, work))

    def _publish(self, filled: Path, final: Path) -> None:
        with open_partial(final) as partial:
            if final.exists():  # built again with `force`: the new directory replaces the old one
                os.rename(final, filled.parent / "replaced")
            os.rename(filled, partial)

    def _hint(self, name: str) -> str:
        found = self._shelf.find_kernel(name)
        if found is not None:
            return f"banger kernel pull {found.name}"
        if name.startswith(CATALOG):
            return "banger kernel catalog"
        known = {listed.entry.name for listed in self._shelf.kernels()}
        here = sorted({kernel.name for kernel in self._records.all()} | known)
        return f"known kernels: {', '.join(here[:20])}"


def _remove_work(work: Path) -> None:
    """Remove the work directory. The thread of a cancelled step may still write there for a moment."""
    for _ in range(20):
        if discard(work):
            return
        time.sleep(0.1)
