"""What catalogs need of the network. `images` has the HTTP client, so that is where it is carried out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Protocol

from banger.model.operation import Report


class Downloads(Protocol):
    """`url` is http, https or file."""

    async def read_document(self, url: str, limit_bytes: int) -> bytes:
        """A small file, whole. Raises `download_failed`, `tls_failed`, `file_not_found`, and what servers answer."""

    async def open_file(
        self, urls: Sequence[str], digest: str, size_bytes: int, report: Report
    ) -> io.RawIOBase:
        """From the cache, or the first of `urls` that has it, the catalog's own before those that it names: of that
        digest and size, or not at all. What broke off is resumed, and several who want the same share one download.
        Raises as `read_document`, and
        `insufficient_disk`."""
