"""A banger without a daemon: its catalogs, images and kernels below one directory, records in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from banger.catalogs.shelf import Shelf
from banger.engine import publishing
from banger.images.fetch.blobs import BlobStore
from banger.images.records.lazy_web import LazyWeb
from banger.images.records.library import ImageLibrary, Wish
from banger.kernels.library import KernelLibrary
from banger.model.catalog import PublishRequest
from banger.model.image import Image, Kernel
from tests.support.paths import paths_below
from tests.support.records import Records
from tests.support.reports import Reports


class Host:
    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        self.paths = paths_below(directory)
        self.shelf = Shelf(self.paths, LazyWeb(self.paths.config, BlobStore(self.paths.oci)), clock)
        self.kernel_records: Records[Kernel] = Records()
        self.images = ImageLibrary(self.paths, Records[Image](), self.shelf)
        self.kernels = KernelLibrary(self.paths, self.kernel_records, self.shelf)
        self.report = Reports()

    def publish(self, kind: str, name: str, **options: Any) -> str:
        request = PublishRequest(kind=cast("Any", kind), name=name, **options)
        return asyncio.run(publishing.publish(self.images, self.kernels, request, self.report)).entry

    def pull(self, ref: str, wish: Wish | None = None) -> Image:
        return asyncio.run(self.images.pull(ref, self.report, wish))

    def leftovers(self) -> list[str]:
        found = [*self.paths.images.glob("*"), *self.paths.kernels.glob("*")]
        return sorted(path.name for path in found)
