"""Images as one tar archive: an OCI layout that also has the manifest.json of `docker save`. Readers of either form
take it, and no form has to be chosen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec

from banger.errors import Error
from banger.host.thread import in_thread
from banger.images.fetch.byte_range import ByteRange
from banger.images.made.documents import Layered
from banger.images.reference.documents import CONTAINERD_NAME, OCI_INDEX, REF_NAME
from banger.model.sizes import MIB
from banger.tar.entry import Entry
from banger.tar.kind import Kind
from banger.tar.writer import END, padding, write_headers

_CHUNK_BYTES = MIB


async def stream_archive(images: Sequence[tuple[str, Layered]]) -> AsyncIterator[bytes]:
    """The images with the names, tags included, that readers give them. What several images have is there once."""
    documents = _documents(images)
    for member, data in documents.items():
        yield _header(member, len(data)) + data + padding(len(data))
    blobs = {_member(layer.digest): blob for _, image in images for layer, blob in image.layers}
    for member, blob in blobs.items():
        if member not in documents:
            yield _header(member, blob.size)
            async for piece in _contents(member, blob):
                yield piece
            yield padding(blob.size)
    yield END


async def _contents(member: str, blob: ByteRange) -> AsyncIterator[bytes]:
    with blob.part(0, blob.size) as source:
        while piece := await in_thread(source.read, _CHUNK_BYTES):
            yield piece
        if source.tell() != blob.size:
            raise Error("image_invalid", f"{member} of the image ends early", "pull the image again")


def _documents(images: Sequence[tuple[str, Layered]]) -> dict[str, bytes]:
    """The documents by the names of their members."""
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [_descriptor(name, image, whole=len(images) > 1) for name, image in images],
    }
    found = {
        "oci-layout": msgspec.json.encode({"imageLayoutVersion": "1.0.0"}),
        "index.json": msgspec.json.encode(index),
        "manifest.json": msgspec.json.encode([_docker_entry(name, image) for name, image in images]),
    }
    for _, image in images:
        found[_member(image.documents.digest)] = image.documents.manifest
        found[_member(image.documents.config_digest)] = image.documents.config
    return found


def _descriptor(name: str, image: Layered, whole: bool) -> dict[str, object]:
    """With several images, readers that know one annotation alone need the `whole` name: tags may be the same."""
    return {
        "mediaType": image.documents.media_type,
        "digest": image.documents.digest,
        "size": len(image.documents.manifest),
        "annotations": {CONTAINERD_NAME: name, REF_NAME: name if whole else name.rpartition(":")[2]},
    }


def _docker_entry(name: str, image: Layered) -> dict[str, object]:
    return {
        "Config": _member(image.documents.config_digest),
        "RepoTags": [name],
        "Layers": [_member(layer.digest) for layer, _ in image.layers],
    }


def _member(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _header(name: str, size: int) -> bytes:
    return write_headers(Entry(name.encode(), Kind.FILE, (0o644, 0, 0), 0, size))
