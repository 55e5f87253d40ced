"""An image of an OCI layout, in a directory or in an archive. Source: OCI image-spec image-layout.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from banger.host.thread import in_thread
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.lifeline import on_lifeline
from banger.images.fetch.verify import check_blob
from banger.images.records.sources.documents import (
    INDEX_FILE,
    LAYOUT_FILE,
    check_layout,
    descend,
    select_image,
)
from banger.images.reference.documents import (
    CONTAINERD_NAME,
    MAX_CONFIG_BYTES,
    MAX_MANIFEST_BYTES,
    REF_NAME,
    Descriptor,
    Documents,
    ImagePlan,
    Index,
    Layer,
    check_descriptor,
    choose_manifest,
    decode,
    digest_of,
    invalid,
    make_plan,
    platform_of,
    type_of,
)
from banger.images.reference.platform import Platform
from banger.images.reference.reference import check_digest
from banger.model.operation import Report


class Files(Protocol):
    """Files with names that may contain slashes. Blocking."""

    def open(self, name: str) -> ByteRange:
        """Raises `image_invalid` for a name without a regular file."""


class LayoutSource:
    """Owns nothing: the caller that opened `files` closes them."""

    def __init__(self, files: Files, wanted: str, name: str) -> None:
        self._files = files
        self._wanted = wanted
        self._name = name

    async def resolve(self, platform: Platform, report: Report) -> ImagePlan:
        report("resolve", self._name)
        index = await in_thread(self._read_index)
        first = choose_manifest(select_image(index, self._wanted, self._name), platform, self._name)
        data = await self._fetch(first)
        manifest, data, named = await descend(data, platform, self._name, self._fetch, platform_of(first))
        config = await in_thread(self._read_blob, manifest.config, MAX_CONFIG_BYTES)
        documents = Documents(data, config, type_of(manifest))
        plan = make_plan(manifest, documents, platform, self._name, named)
        return replace(plan, called=_name_in(first))

    async def prefetch(self, plan: ImagePlan, report: Report) -> None:
        """Does nothing: everything is on this host."""

    async def open_layer(self, layer: Layer) -> ByteRange:
        return await open_checked(self._files, blob_name(layer.digest), layer)

    async def _fetch(self, entry: Descriptor) -> bytes:
        return await in_thread(self._read_blob, entry, MAX_MANIFEST_BYTES)

    def _read_index(self) -> Index:
        check_layout(read_file(self._files, LAYOUT_FILE, MAX_MANIFEST_BYTES), self._name)
        return decode(read_file(self._files, INDEX_FILE, MAX_MANIFEST_BYTES), Index, f"index of {self._name}")

    def _read_blob(self, entry: Descriptor, limit_bytes: int) -> bytes:
        check_descriptor(entry, limit_bytes, "document")
        data = read_file(self._files, blob_name(entry.digest), limit_bytes)
        if len(data) != entry.size or digest_of(data) != entry.digest:
            raise invalid(f"{self._name}: {entry.digest} is damaged")
        return data


def _name_in(entry: Descriptor) -> str:
    """The whole name of an image; OCI's annotation often has the tag alone."""
    name = entry.annotation(REF_NAME)
    return entry.annotation(CONTAINERD_NAME) or (name if ":" in name else "")


def blob_name(digest: str) -> str:
    """The name of the file of a blob. Raises `image_invalid`."""
    return f"blobs/sha256/{check_digest(digest).partition(':')[2]}"


def read_file(files: Files, name: str, limit_bytes: int) -> bytes:
    """The contents of a file. Raises `image_invalid`, also for a file that is longer than the limit."""
    with files.open(name) as file:
        if file.size > limit_bytes:
            raise invalid(f"{name} is longer than {limit_bytes} bytes")
        return file.readall() or b""


async def open_checked(files: Files, name: str, layer: Layer) -> ByteRange:
    """The blob of a layer, after its digest was checked. Raises `image_invalid`."""
    blob = await in_thread(files.open, name)
    try:
        await on_lifeline(lambda line: check_blob(blob, layer.digest, layer.size, line))
    except BaseException:
        blob.close()
        raise
    return blob
