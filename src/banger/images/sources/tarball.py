"""A tar file of a tree, as an image of one layer without whiteouts: `tar:FILE`, and "-" for standard input."""

from __future__ import annotations

from pathlib import Path

from banger.images.byte_range import ByteRange
from banger.images.oci import LAYER_TAR, ImagePlan, Layer, invalid
from banger.images.platform import Platform
from banger.images.registry.lifeline import Lifeline, in_thread
from banger.images.sources.spool import hash_inflated, layer_type, spool_inflated
from banger.images.verify import hash_blob
from banger.model.image import ImageConfig
from banger.model.operation import Report


class TarSource:
    """Plain, gzip or zstd files are read where they are; others are inflated into `directory` first. Owns the file."""

    def __init__(self, file: ByteRange, name: str, directory: Path, keep_free_bytes: int = 0) -> None:
        self._file = file
        self._keep_free_bytes = keep_free_bytes
        self._name = name
        self._directory = directory

    async def resolve(self, platform: Platform, report: Report) -> ImagePlan:
        """The plan's digests are what the file has now."""
        report("resolve", self._name)
        layer = await in_thread(self._survey)
        return ImagePlan(ImageConfig(), (layer,), layer.digest, platform, whiteouts=False)

    async def prefetch(self, plan: ImagePlan, report: Report) -> None:
        """Everything is here."""

    async def open_layer(self, layer: Layer) -> ByteRange:
        return self._file.part(0, layer.size)

    def close(self) -> None:
        self._file.close()

    def _survey(self, line: Lifeline) -> Layer:
        if self._file.size == 0:
            raise invalid(f"{self._name} is empty")
        kind = layer_type(self._file)
        if kind is None:
            inflated = spool_inflated(self._file, self._directory, line, self._keep_free_bytes)
            self._file.close()
            self._file, kind = inflated, LAYER_TAR
        digest = hash_blob(self._file, line)
        diff_id = digest if kind == LAYER_TAR else hash_inflated(self._file, line)
        return Layer(digest, self._file.size, kind, diff_id)
