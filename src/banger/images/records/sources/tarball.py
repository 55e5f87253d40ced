"""A tar file of a tree, as an image with one layer without whiteouts: `tar:FILE`, and "-" for standard input. A file
that turns out to be the archive of an image (`docker save | banger image pull -`) is read as an image."""

from __future__ import annotations

import hashlib
from pathlib import Path

from banger.images.disks.source import Source
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.lifeline import Lifeline, on_lifeline
from banger.images.fetch.verify import hash_blob
from banger.images.records.sources.archive import Archive
from banger.images.records.sources.forms import INFLATED, Form, form_of, form_of_bytes, layer_type, not_a_tar
from banger.images.records.sources.marks import Marks
from banger.images.records.sources.saved import choose_form, is_image
from banger.images.records.sources.spool import inflate, plain, spool_inflated
from banger.images.reference.documents import LAYER_TAR, ImagePlan, Layer
from banger.images.reference.platform import Platform
from banger.model.image import ImageConfig
from banger.model.operation import Report


class TarSource:
    """Files without compression, and gzip and zstd files, are read in place; others are inflated into `directory`
    first. Owns the file."""

    def __init__(self, file: ByteRange, name: str, directory: Path, keep_free_bytes: int = 0) -> None:
        self._file = file
        self._keep_free_bytes = keep_free_bytes
        self._name = name
        self._directory = directory
        self._archive: Archive | None = None
        self._image: Source | None = None

    async def resolve(self, platform: Platform, report: Report) -> ImagePlan:
        """The digests of the plan are computed from the file."""
        report("resolve", self._name)
        layer = await on_lifeline(self._survey)
        if self._image is not None:
            return await self._image.resolve(platform, report)
        return ImagePlan(ImageConfig(), (layer,), layer.digest, platform, whiteouts=False)

    async def prefetch(self, plan: ImagePlan, report: Report) -> None:
        """Does nothing: everything is on this host."""

    async def open_layer(self, layer: Layer) -> ByteRange:
        if self._image is not None:
            return await self._image.open_layer(layer)
        return self._file.part(0, layer.size)

    def close(self) -> None:
        if self._archive is not None:
            self._archive.close()
        self._file.close()

    def _survey(self, line: Lifeline) -> Layer:
        form = form_of(self._file)
        if form is not Form.TAR and form not in INFLATED:
            raise not_a_tar(self._name, form)
        kind = layer_type(self._file)
        if kind is None:
            inflated = spool_inflated(self._file, self._directory, line, self._keep_free_bytes)
            self._file.close()
            self._file, kind = inflated, LAYER_TAR
        diff_id, marks = self._read_through(kind, line)
        inside = form_of_bytes(marks.first)
        if inside is not Form.TAR:
            raise not_a_tar(self._name, form, inside)
        if marks.may_be_image:
            self._read_as_image(kind, line)
        digest = diff_id if kind == LAYER_TAR else hash_blob(self._file, line)
        return Layer(digest, self._file.size, kind, diff_id)

    def _read_through(self, kind: str, line: Lifeline) -> tuple[str, Marks]:
        found, marks = hashlib.sha256(), Marks()
        for chunk in plain(self._file) if kind == LAYER_TAR else inflate(self._file, line):
            line.check()
            found.update(chunk)
            marks.feed(chunk)
        return f"sha256:{found.hexdigest()}", marks

    def _read_as_image(self, kind: str, line: Lifeline) -> None:
        """Use the file as the archive of an image, if it is one."""
        if kind == LAYER_TAR:
            file = self._file.part(0, self._file.size)
        else:
            file = spool_inflated(self._file, self._directory, line, self._keep_free_bytes)
        try:
            archive = Archive(file, self._name, line)
        except BaseException:
            file.close()
            raise
        if is_image(archive):
            self._archive, self._image = archive, choose_form(archive, "")
        else:
            archive.close()
