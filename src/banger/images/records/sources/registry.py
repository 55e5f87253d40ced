"""An image of a registry: its blobs are fetched into the store, several at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from banger.errors import Error
from banger.host.fs import require_free
from banger.host.thread import in_thread
from banger.images.disks.source import SourceContext
from banger.images.fetch.blobs import BlobStore
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.client import RegistryClient
from banger.images.fetch.download import fetch_blob
from banger.images.fetch.settings import RegistrySettings, load_settings
from banger.images.fetch.tally import Tally
from banger.images.fetch.transport import Timeouts, Transport
from banger.images.records.sources.documents import descend
from banger.images.reference.documents import (
    MAX_MANIFEST_BYTES,
    Descriptor,
    Documents,
    ImagePlan,
    Layer,
    digest_of,
    make_plan,
    type_of,
)
from banger.images.reference.platform import Platform
from banger.images.reference.reference import Reference
from banger.model.operation import Report
from banger.model.sizes import MIB

PARALLEL = 4
_SPARE_BYTES = 64 * MIB


@asynccontextmanager
async def open_registry(
    reference: Reference,
    context: SourceContext,
    timeouts: Timeouts | None = None,
) -> AsyncIterator[RegistrySource]:
    settings: RegistrySettings = await in_thread(load_settings, context.config)
    if context.insecure:
        settings = settings.with_insecure(reference.registry)
    transport = Transport(settings, timeouts)
    if context.sender:
        await in_thread(transport.ranges.introduce, context.sender)
    client = RegistryClient(transport, context.grants)
    source = RegistrySource(reference, client, context.store, context.sender)
    try:
        yield source
    finally:
        try:
            await source.end()
        finally:
            transport.close()


class RegistrySource:
    """Owns the downloads that it began. `end` stops running downloads, and closes blobs that no caller took."""

    def __init__(
        self, reference: Reference, client: RegistryClient, store: BlobStore, sender: str = ""
    ) -> None:
        self.reference = reference
        self._client = client
        self._store = store
        self._places = client.places(reference, sender)
        self._slots = asyncio.Semaphore(PARALLEL)
        self._begun: dict[str, asyncio.Task[ByteRange]] = {}
        self._tally: Tally | None = None

    async def resolve(self, platform: Platform, report: Report) -> ImagePlan:
        name = self.reference.familiar
        report("resolve", name)
        self._client.report = report
        data = await self._fetch_first()
        manifest, data, named = await descend(data, platform, name, self._fetch_manifest)
        config = await self._fetch(manifest.config.digest, manifest.config.size)
        with config:
            text = await in_thread(config.readall) or b""
        # So that a push or save of the image needs no registry while the cache has its layers.
        await in_thread(self._keep, data)
        return make_plan(manifest, Documents(data, text, type_of(manifest)), platform, name, named)

    async def prefetch(self, plan: ImagePlan, report: Report) -> None:
        await in_thread(self._require_room, plan)
        sizes_bytes = {layer.digest: layer.size for layer in plan.layers}
        loop = asyncio.get_running_loop()
        self._tally = Tally(loop, report, sum(sizes_bytes.values()), sizes_bytes)
        for layer in plan.layers:
            self._begin(layer)

    async def open_layer(self, layer: Layer) -> ByteRange:
        """Each call opens a file of its own; an image may have the same layer twice."""
        fetched = await asyncio.shield(self._begin(layer))
        return fetched.part(0, fetched.size)

    async def end(self) -> None:
        tasks = list(self._begun.values())
        self._begun.clear()
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, ByteRange):
                outcome.close()

    def _begin(self, layer: Layer) -> asyncio.Task[ByteRange]:
        if layer.digest not in self._begun:
            self._begun[layer.digest] = asyncio.create_task(self._fetch_layer(layer, self._tally))
        return self._begun[layer.digest]

    async def _fetch_layer(self, layer: Layer, tally: Tally | None) -> ByteRange:
        async with self._slots:
            on_bytes = tally.begin(layer.digest) if tally else _ignore
            fetched = await fetch_blob(
                self._client, self._places, layer.digest, layer.size, self._store, on_bytes
            )
        if tally:
            tally.finish(layer.digest)
        return fetched

    async def _fetch(self, digest: str, size: int) -> ByteRange:
        async with self._slots:
            return await fetch_blob(self._client, self._places, digest, size, self._store, _ignore)

    def _require_room(self, plan: ImagePlan) -> None:
        missing = sum({x.digest: x.size for x in plan.layers if not self._store.have(x.digest)}.values())
        if missing:
            require_free(self._store.directory, missing + _SPARE_BYTES, self.reference.familiar)

    async def _fetch_first(self) -> bytes:
        """The document that the reference names. A document with a known digest comes from the store, without a
        request."""
        pinned = self.reference.digest
        if pinned and (kept := await self._read_kept(pinned)) is not None:
            return kept
        document = await self._client.fetch_document(self._places, self.reference.version)
        # The place that had the manifest most likely has the rest, too.
        self._places.sort(key=lambda place: place != document.place)
        if pinned:
            await in_thread(self._store.keep, pinned, document.data)
        return document.data

    async def _fetch_manifest(self, entry: Descriptor) -> bytes:
        if not self.reference.digest:
            return await self._fetch_listed(entry)
        kept = await self._read_kept(entry.digest)
        if kept is None:
            kept = await self._fetch_listed(entry)
            await in_thread(self._store.keep, entry.digest, kept)
        return kept

    async def _fetch_listed(self, entry: Descriptor) -> bytes:
        return (await self._client.fetch_document(self._places, entry.digest, entry.size)).data

    def _keep(self, manifest: bytes) -> None:
        digest = digest_of(manifest)
        with contextlib.suppress(OSError, Error):  # a pull that writes nothing else needs no space
            if not self._store.have(digest):
                self._store.keep(digest, manifest)

    async def _read_kept(self, digest: str) -> bytes | None:
        return await in_thread(self._store.read, digest, MAX_MANIFEST_BYTES)


def _ignore(count: int) -> None:
    pass
