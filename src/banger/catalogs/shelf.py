"""All catalogs of this host, and what a name means in them.

The built-in catalog comes first, then the added catalogs, the oldest first: a catalog that is added later cannot change
the meaning of a name. `catalog:CATALOG/NAME` asks one catalog only.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from banger.catalogs import builtin
from banger.catalogs.addresses import bundle_url, index_url
from banger.catalogs.fetching import Downloads, fetch_index
from banger.catalogs.index import invalid, select
from banger.catalogs.minisign import parse_public_key
from banger.catalogs.subscription import Record, Subscription, expired
from banger.errors import Error
from banger.host import cpu
from banger.host.fs import sync_path
from banger.host.paths import Paths
from banger.host.thread import in_thread
from banger.model.catalog import (
    NAME_PATTERN,
    BundleSource,
    Catalog,
    Entry,
    ImageEntry,
    Index,
    KernelEntry,
)
from banger.model.names import check_name
from banger.model.operation import Report

log = logging.getLogger("banger.catalogs")

PREFIX = "catalog:"
FRESH_S = 3600.0
_RETRY_S = 60.0
_SUFFIX = ".json"
_NAME = re.compile(NAME_PATTERN)
E = TypeVar("E", bound=Entry)
E_co = TypeVar("E_co", bound=Entry, covariant=True)
Catalogs = list[Catalog]  # `list` is a method's name below


@dataclass(frozen=True)
class Found(Generic[E_co]):
    """An entry, its catalog, and its name on this host, which differs from the names of entries that are found before
    it."""

    catalog: str
    entry: E_co
    name: str


@dataclass(frozen=True)
class Listed(Generic[E_co]):
    """An entry in a list. `hidden_by` is the catalog whose entry is found instead, "" for none."""

    catalog: str
    entry: E_co
    hidden_by: str


class Shelf:
    """Lives as long as the daemon; used from its event loop. `clock` gives seconds since 1970."""

    def __init__(
        self, paths: Paths, downloads: Downloads | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._directory = paths.catalogs
        self._downloads = downloads
        self._clock = clock
        self._loaded: dict[str, Subscription] | None = None
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Read all indexes in a thread, before the first lookup: large ones take long."""
        self._loaded = await in_thread(_load, self._directory)

    def find_image(self, ref: str, architecture: str = "") -> Found[ImageEntry] | None:
        """The entry that `ref` means, or None. `architecture` empty: this host's. Indexes are read once."""
        return self._find(ref, architecture, _images_of)

    def find_kernel(self, ref: str, architecture: str = "") -> Found[KernelEntry] | None:
        return self._find(ref, architecture, _kernels_of)

    def images(self) -> list[Listed[ImageEntry]]:
        return list(self._listed(_images_of))

    def kernels(self) -> list[Listed[KernelEntry]]:
        return list(self._listed(_kernels_of))

    def list(self) -> Catalogs:
        """All catalogs, the built-in one first."""
        index = builtin.builtin_index()
        own = Catalog(
            name=builtin.NAME,
            url="",
            key="",
            position=0,
            version=index.version,
            created=index.created,
            images=len(index.images),
            kernels=len(index.kernels),
        )
        return [own, *(subscription.describe(self._clock()) for subscription in self._in_order())]

    async def add(self, url: str, key: str, name: str = "") -> Catalog:
        """Fetch an index, check it with this key, and keep both. `name` empty: the name in the index.

        Raises `bad_request`, `name_taken`, `bad_name`, and the errors of fetching and checking; then nothing is
        kept."""
        url, public = index_url(url), str(parse_public_key(key))
        async with self._changing:
            known = self._subscriptions()
            position = 1 + max((each.record.position for each in known.values()), default=0)
            record = Record(url=url, key=public, position=position)
            unnamed = Subscription(Path("new.json"), record)
            data, signature = await fetch_index(self._network(), unnamed)
            name = name or (await in_thread(unnamed.believe, data, signature, self._clock())).name
            if check_name(name) == builtin.NAME or name in known:
                raise Error(
                    "name_taken", f"a catalog {name} exists already", "choose another name: --name NAME"
                )
            added = Subscription(self._directory / f"{name}{_SUFFIX}", record)
            await in_thread(added.accept, data, signature, self._clock())
            known[name] = added
            return added.describe(self._clock())

    def remove(self, name: str) -> None:
        """Remove a catalog. Everything that was pulled from it stays. Raises `catalog_not_found`, and `bad_request` for
        the built-in catalog."""
        if name == builtin.NAME:
            raise Error("bad_request", "the built-in catalog cannot be removed")
        found = self._get(name)
        found.file.unlink(missing_ok=True)
        sync_path(found.file.parent)  # the catalog must stay removed after a power failure, too
        del self._subscriptions()[name]

    async def refresh(self, name: str = "") -> Catalogs:
        """Fetch the index of one catalog, or of all. A catalog that cannot be refreshed has the reason in its
        `problem`, and keeps its old index; for a catalog named by the caller, the error is raised, too."""
        chosen = [self._get(name)] if name and name != builtin.NAME else [] if name else [*self._in_order()]
        for subscription in chosen:
            try:
                await self._refresh(subscription)
            except Error:
                if name:
                    raise
        return [each for each in self.list() if name in ("", each.name)]

    async def look_up(
        self, ref: str, find: Callable[[str, str], Found[E] | None], architecture: str, report: Report
    ) -> Found[E] | None:
        """What `find` (`find_image` or `find_kernel`) returns, with indexes that are as fresh as possible. None if no
        catalog has the name. Raises as `require_sound`."""
        found = find(ref, architecture)
        if (found is not None and found.catalog == builtin.NAME) or not is_name(ref):
            return found
        await self.freshen(report)
        found = find(ref, architecture)
        self.require_sound(found)
        return found

    def kernel_of(self, found: Found[ImageEntry]) -> str:
        """The kernel that an image's entry asks for, from the same catalog if that has it; "" for the default
        kernel."""
        wanted = found.entry.kernel
        own = self.find_kernel(f"{PREFIX}{found.catalog}/{wanted}") if wanted else None
        return own.name if own else wanted

    async def freshen(self, report: Report) -> None:
        """Fetch indexes that are older than an hour again, before the lookup for a pull. If that fails, the old index
        is used, and a warning says so."""
        for subscription in self._in_order():
            if self._is_due(subscription):
                report("catalog", subscription.name)
                await self._refresh_if_due(subscription)
            if subscription.problem and not self._is_fresh(subscription):
                report("warning", _stale(subscription))

    def require_sound(self, found: Found[E] | None) -> None:
        """Raises `catalog_expired`, `catalog_invalid` for a catalog that may have the name but cannot be trusted: a
        later catalog must not answer instead."""
        for subscription in self._in_order():
            index = subscription.index
            if index is None and (found is None or self._comes_after(found.catalog, subscription)):
                raise invalid(
                    f"catalog {subscription.name} cannot be used: {subscription.problem}",
                    f"banger catalog refresh {subscription.name}, or remove it",
                )
            if found is not None and found.catalog == subscription.name and index is not None:
                if subscription.has_expired(self._clock()):
                    raise expired(subscription.name, index.expires)
                return

    def host_of(self, catalog: str) -> str:
        """The host (and port) of a catalog's URL; "" for the built-in catalog and for file: URLs."""
        return "" if catalog == builtin.NAME else urlsplit(self._get(catalog).record.url).netloc

    async def open_bundle(self, found: Found[E], source: BundleSource, report: Report) -> io.RawIOBase:
        """The file of a bundle, verified. Raises as `Downloads.open_file`."""
        index = self._get(found.catalog).record.url
        urls = [bundle_url(index, source.digest), *source.mirrors]
        return await self._network().open_file(urls, source.digest, source.size_bytes, report)

    def _find(
        self, ref: str, architecture: str, entries_of: Callable[[Index], Sequence[E]]
    ) -> Found[E] | None:
        wanted, name = split_ref(ref)
        architecture = architecture or cpu.architecture()
        suffix = "" if architecture == cpu.architecture() else f"-{architecture}"
        for catalog, index in self._indexes():
            if wanted in ("", catalog):
                entry = select(entries_of(index), name, architecture)
                if entry is not None:
                    return Found(catalog, entry, self._local_name(catalog, entry, entries_of) + suffix)
        return None

    def _local_name(self, catalog: str, entry: E, entries_of: Callable[[Index], Sequence[E]]) -> str:
        """The entry's own name, if that name finds this entry. Otherwise the name with its catalog: an entry that was
        found by an alias must not get the name of an entry that comes first."""
        for other, index in self._indexes():
            if select(entries_of(index), entry.name, entry.architecture) is not None:
                return entry.name if other == catalog else f"{PREFIX}{catalog}/{entry.name}"
        return entry.name

    def _listed(self, entries_of: Callable[[Index], Sequence[E]]) -> Iterator[Listed[E]]:
        owners: dict[tuple[str, str], str] = {}
        for catalog, index in self._indexes():
            entries = entries_of(index)
            for entry in entries:
                for name in (entry.name, *entry.aliases):
                    owners.setdefault((name, entry.architecture), catalog)
            for entry in entries:
                owner = owners[entry.name, entry.architecture]
                yield Listed(catalog, entry, "" if owner == catalog else owner)

    def _indexes(self) -> Iterator[tuple[str, Index]]:
        yield builtin.NAME, builtin.builtin_index()
        for subscription in self._in_order():
            if subscription.index is not None:
                yield subscription.name, subscription.index

    def _comes_after(self, catalog: str, subscription: Subscription) -> bool:
        """Whether `catalog` comes after the catalog of that subscription."""
        if catalog == builtin.NAME:
            return False
        return self._get(catalog).record.position > subscription.record.position

    def _in_order(self) -> Sequence[Subscription]:
        return sorted(self._subscriptions().values(), key=lambda each: (each.record.position, each.name))

    def _subscriptions(self) -> dict[str, Subscription]:
        if self._loaded is None:
            self._loaded = _load(self._directory)
        return self._loaded

    def _get(self, name: str) -> Subscription:
        found = self._subscriptions().get(name)
        if found is None:
            raise Error("catalog_not_found", f"there is no catalog {name!r}", "banger catalog list")
        return found

    def _is_fresh(self, subscription: Subscription) -> bool:
        age_s = self._clock() - subscription.record.refreshed
        return 0 <= age_s < FRESH_S and subscription.index is not None

    def _is_due(self, subscription: Subscription) -> bool:
        failed_since_s = self._clock() - subscription.failed
        return not self._is_fresh(subscription) and not 0 <= failed_since_s < _RETRY_S

    async def _refresh_if_due(self, subscription: Subscription) -> None:
        """Refresh, unless another task did so while this one waited. Errors stay in the catalog's `problem`."""
        async with self._changing:
            if self._is_due(subscription):
                with contextlib.suppress(Error):
                    await self._renew(subscription)

    async def _refresh(self, subscription: Subscription) -> None:
        async with self._changing:
            await self._renew(subscription)

    async def _renew(self, subscription: Subscription) -> None:
        """Fetch and accept the index. The caller holds the lock `_changing`."""
        try:
            if not subscription.record.url:
                raise invalid(
                    subscription.problem, f"banger catalog remove {subscription.name}, and add it again"
                )
            data, signature = await fetch_index(self._network(), subscription)
            if self._subscriptions().get(subscription.name) is subscription:
                await in_thread(subscription.accept, data, signature, self._clock())
                if (
                    self._subscriptions().get(subscription.name) is not subscription
                ):  # it was removed meanwhile
                    subscription.file.unlink(missing_ok=True)
        except Error as exc:
            subscription.problem, subscription.failed = exc.message, self._clock()
            raise

    def _network(self) -> Downloads:
        if self._downloads is None:
            raise Error("unsupported", "catalogs cannot be fetched here")
        return self._downloads


def _load(directory: Path) -> dict[str, Subscription]:
    """Read all subscriptions. Blocking."""
    found = {}
    for file in sorted(directory.glob(f"[!.]*{_SUFFIX}")):
        try:
            found[file.stem] = Subscription.load(file)
        except Error as exc:
            log.warning("%s", exc.message)
            found[file.stem] = Subscription(file, Record(url="", key="", position=0))
            found[file.stem].problem = exc.message
    return found


def is_name(ref: str) -> bool:
    """Whether `ref` may be the name of an entry. Most references to registries and paths cannot be."""
    catalog, name = split_ref(ref)
    return bool(catalog) or _NAME.search(name) is not None


def is_of(ref: str, catalog: str) -> bool:
    """Whether `ref` may mean something that came from `catalog` ("": not recorded, so it was the built-in one)."""
    return split_ref(ref)[0] in ("", catalog or builtin.NAME)


def split_ref(ref: str) -> tuple[str, str]:
    """ "catalog:lab/app" → ("lab", "app"); a name without a catalog → ("", ref)."""
    if not ref.startswith(PREFIX):
        return "", ref
    catalog, _, name = ref.removeprefix(PREFIX).partition("/")
    return catalog, name


def _images_of(index: Index) -> Sequence[ImageEntry]:
    return index.images


def _kernels_of(index: Index) -> Sequence[KernelEntry]:
    return index.kernels


def _stale(subscription: Subscription) -> str:
    index, problem = subscription.index, subscription.problem
    if index is None:
        return f"catalog {subscription.name} cannot be used: {problem}"
    return f"catalog {subscription.name}: using its index of {index.created} from the cache ({problem})"
