"""What catalogs fetch: an index with its signature, and the files that the index names."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Sequence
from typing import Protocol

from banger.catalogs.addresses import signature_url
from banger.catalogs.index import MAX_BYTES
from banger.catalogs.subscription import Subscription
from banger.errors import Error
from banger.host.thread import in_thread
from banger.model.operation import Report
from banger.model.sizes import KIB

log = logging.getLogger("banger.catalogs")

PUBLICATION_S = 1.0  # the time for a publisher to upload an index after its signature.
_SIGNATURE_BYTES = 16 * KIB


class Downloads(Protocol):
    """The network, as far as catalogs need it: `images` has the HTTP client. Each URL is http, https or file."""

    async def read_document(self, url: str, limit_bytes: int) -> bytes:
        """A small file, whole. Raises `download_failed`, `tls_failed`, `file_not_found`, and the errors that servers
        answer."""

    async def open_file(
        self, urls: Sequence[str], digest: str, size_bytes: int, report: Report
    ) -> io.RawIOBase:
        """The file with this digest and size, from the cache or from the first of `urls` that has the file: the
        catalog's own URL comes before the mirrors. An interrupted download is resumed, and callers who want the same
        file share one download. Raises as `read_document`, and `insufficient_disk`."""


async def fetch_index(network: Downloads, subscription: Subscription) -> tuple[bytes, bytes]:
    """The index and its signature, as they are on the server now; the caller checks whether they can be trusted. The
    publisher may replace both in between, so if they do not fit each other, both are fetched once more. Raises as
    `Downloads.read_document`."""
    data, signature = await _fetch_once(network, subscription.record.url)
    try:
        await in_thread(subscription.check_signature, data, signature)
    except Error as exc:
        log.info("catalog %s: %s; once more", subscription.name, exc.message)
        await asyncio.sleep(PUBLICATION_S)
        return await _fetch_once(network, subscription.record.url)
    return data, signature


async def _fetch_once(network: Downloads, url: str) -> tuple[bytes, bytes]:
    signature = await network.read_document(signature_url(url), _SIGNATURE_BYTES)
    return await network.read_document(url, MAX_BYTES), signature
