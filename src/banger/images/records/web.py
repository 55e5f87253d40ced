"""Files of plain web servers and directories, for catalogs: fetched as blobs of registries are, with the same patience,
proxies and certificates, into the same store. Passwords go only to the origin of the catalog; the mirrors that it names
are a stranger's text (see `fetch.ranges`)."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from banger.errors import Error
from banger.host.fs import require_free
from banger.host.thread import in_thread
from banger.images.fetch.blobs import BlobStore, PartialBlob
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.client import Place, RegistryClient, tell_log
from banger.images.fetch.credentials import Credentials, find_credentials
from banger.images.fetch.download import fetch_blob
from banger.images.fetch.lifeline import Lifeline, on_lifeline
from banger.images.fetch.retries import FOR_DOCUMENTS, with_retries
from banger.images.fetch.settings import Endpoint, RegistrySettings, load_settings
from banger.images.fetch.tally import Tally
from banger.images.fetch.transport import Request, Transport, split_url
from banger.images.records.sources.files import open_file
from banger.model.operation import Report
from banger.model.sizes import MIB

_SPARE_BYTES = 64 * MIB
_CHUNK_BYTES = MIB
_POLL_S = 0.05
# What errors of registries mean for a web server.
_CODES = {"image_not_found": "download_failed", "registry_error": "download_failed"}


@dataclass(frozen=True)
class WebFile(Place):
    """One file, in the role of a registry's repository. `address` is its whole URL."""

    address: str = ""

    @property
    def name(self) -> str:
        """The path of the URL, without parts that may be secret."""
        return urlsplit(self.address).path

    @property
    def scope(self) -> str:
        return ""

    @property
    def tokens_elsewhere(self) -> bool:
        return False

    def url(self, kind: str, version: str) -> str:
        return self.address


class Web:
    """Lives as long as the daemon; keeps nothing between calls."""

    def __init__(self, config: Path, store: BlobStore) -> None:
        self._config = config
        self._store = store

    async def read_document(self, url: str, limit_bytes: int) -> bytes:
        """See `Downloads`."""
        if path := _local_path(url):
            return await in_thread(_read_file, path, limit_bytes)
        place = _web_file(url)
        async with self._client(url, tell_log) as client:
            return await with_retries(
                lambda: client.ask(place, Request(url), place.name, lambda answer: answer.read(limit_bytes)),
                FOR_DOCUMENTS,
                tell=client.wait,
            )

    async def open_file(self, urls: Sequence[str], digest: str, size_bytes: int, report: Report) -> ByteRange:
        """See `Downloads`. The first of `urls` is the catalog's own; the catalog names the others."""
        if not self._store.have(digest, size_bytes):
            await in_thread(require_free, self._store.directory, size_bytes + _SPARE_BYTES, "the download")
        for path in filter(None, map(_local_path, urls)):
            return await self._copy_in(path, digest, size_bytes)
        tally = Tally(asyncio.get_running_loop(), report, size_bytes)
        own = _web_file(urls[0])
        places = [own, *(_web_file(url, sender=own.host) for url in urls[1:])]
        async with self._client(urls[0], report) as client:
            return await fetch_blob(client, places, digest, size_bytes, self._store, tally.add)

    @asynccontextmanager
    async def _client(self, own: str, report: Report) -> AsyncIterator[RegistryClient]:
        """A client. Credentials go only to the origin of the URL `own`."""

        async def find_own(registry: str, repository: str, faults: list[Error]) -> Credentials | None:
            is_own = registry == _web_file(own).registry
            return await find_credentials(registry, "", faults) if is_own else None

        settings: RegistrySettings = await in_thread(load_settings, self._config)
        transport = Transport(settings)
        try:
            yield RegistryClient(transport, find=find_own, report=report)
        except Error as exc:
            code = _CODES.get(exc.code, exc.code)
            raise Error(code, exc.message, "check the network and the catalog's URL", exc.details) from exc
        finally:
            transport.close()

    async def _copy_in(self, path: str, digest: str, size_bytes: int) -> ByteRange:
        """Copy a file of this host into the store: its owner may change it at any time."""
        while True:
            present = await in_thread(self._store.open, digest)
            if present is not None:
                return present
            partial = await in_thread(self._store.claim, digest)
            if partial is not None:
                with partial:
                    return await on_lifeline(functools.partial(self._copy, path, partial, size_bytes))
            await asyncio.sleep(_POLL_S)

    def _copy(self, path: str, partial: PartialBlob, size_bytes: int, line: Lifeline) -> ByteRange:
        partial.truncate()
        found = hashlib.sha256()
        with open_file(path) as source:
            while chunk := source.read(_CHUNK_BYTES):
                line.check()
                found.update(chunk)
                if partial.size + len(chunk) > size_bytes:
                    break
                os.pwrite(partial.fd, chunk, partial.size)
        if partial.size != size_bytes or f"sha256:{found.hexdigest()}" != partial.digest:
            partial.discard()
            raise Error(
                "download_failed", f"{path} does not have the digest {partial.digest}", "fetch the file again"
            )
        return self._store.publish(partial)


def _web_file(url: str, sender: str = "") -> WebFile:
    try:
        parts = split_url(url)
    except ValueError as exc:
        raise Error("bad_request", f"{url[:200]!r}: {exc}", "use https://HOST/PATH") from exc
    return WebFile(Endpoint(parts.netloc), "", url, sender=sender)


def _local_path(url: str) -> str:
    """The path of a file: URL; "" for other URLs."""
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "file" else ""


def _read_file(path: str, limit_bytes: int) -> bytes:
    with open_file(path) as file:
        if file.size > limit_bytes:
            raise Error("download_failed", f"{path} has more than {limit_bytes} bytes")
        return file.readall() or b""
