"""The downloads of catalogs; the HTTP library is loaded when it is first needed. A daemon that never fetches is 20 MB
smaller."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from banger.host.thread import in_thread
from banger.images.fetch.blobs import BlobStore
from banger.images.fetch.byte_range import ByteRange
from banger.model.operation import Report

if TYPE_CHECKING:
    from banger.images.records.web import Web


class LazyWeb:
    """`catalogs.fetching.Downloads`. Lives as long as the daemon."""

    def __init__(self, config: Path, store: BlobStore) -> None:
        self._config = config
        self._store = store

    async def read_document(self, url: str, limit_bytes: int) -> bytes:
        return await (await self._web()).read_document(url, limit_bytes)

    async def open_file(self, urls: Sequence[str], digest: str, size_bytes: int, report: Report) -> ByteRange:
        return await (await self._web()).open_file(urls, digest, size_bytes, report)

    async def _web(self) -> Web:
        module = await in_thread(import_module, "banger.images.records.web")
        web: Web = module.Web(self._config, self._store)
        return web
