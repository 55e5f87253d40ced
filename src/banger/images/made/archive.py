"""An image as one tar archive: an OCI layout that also has the manifest.json of `docker save`. Readers of either form
take it, and no form has to be chosen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec

from banger.host.thread import in_thread
from banger.images.fetch.byte_range import ByteRange
from banger.images.made.documents import Documents
from banger.images.reference.documents import (
    CONTAINERD_NAME,
    OCI_INDEX,
    OCI_MANIFEST,
    REF_NAME,
    Layer,
)
from banger.model.sizes import MIB
from banger.tar.entry import Entry
from banger.tar.kind import Kind
from banger.tar.writer import END, padding, write_headers

_CHUNK_BYTES = MIB


async def stream_archive(
    name: str, documents: Documents, layers: Sequence[tuple[Layer, ByteRange]]
) -> AsyncIterator[bytes]:
    """`name` is the name with its tag that readers give the image. A layer that the image has twice is there once."""
    for member, data in _documents(name, documents, [layer for layer, _ in layers]):
        yield _header(member, len(data)) + data + padding(len(data))
    for layer, blob in {layer.digest: (layer, blob) for layer, blob in layers}.values():
        yield _header(_member(layer.digest), blob.size)
        with blob.part(0, blob.size) as source:
            while piece := await in_thread(source.read, _CHUNK_BYTES):
                yield piece
        yield padding(blob.size)
    yield END


def _documents(name: str, documents: Documents, layers: Sequence[Layer]) -> list[tuple[str, bytes]]:
    manifest = {
        "mediaType": OCI_MANIFEST,
        "digest": documents.digest,
        "size": len(documents.manifest),
        "annotations": {CONTAINERD_NAME: name, REF_NAME: name.rpartition(":")[2]},
    }
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [manifest]}
    entry = {
        "Config": _member(documents.config_digest),
        "RepoTags": [name],
        "Layers": [_member(layer.digest) for layer in layers],
    }
    return [
        ("oci-layout", msgspec.json.encode({"imageLayoutVersion": "1.0.0"})),
        ("index.json", msgspec.json.encode(index)),
        ("manifest.json", msgspec.json.encode([entry])),
        (_member(documents.digest), documents.manifest),
        (_member(documents.config_digest), documents.config),
    ]


def _member(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _header(name: str, size: int) -> bytes:
    return write_headers(Entry(name.encode(), Kind.FILE, (0o644, 0, 0), 0, size))
