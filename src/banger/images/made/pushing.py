"""An image in layers to a registry."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from banger.host.thread import in_thread
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.client import Place, RegistryClient
from banger.images.fetch.settings import Endpoint, load_settings
from banger.images.fetch.tally import Tally
from banger.images.fetch.transport import Timeouts, Transport
from banger.images.fetch.upload import Blob, Upload
from banger.images.made.documents import Layered
from banger.images.reference.reference import Reference
from banger.model.image import Pushed
from banger.model.operation import Report


async def push(
    reference: Reference,
    image: Layered,
    config: Path,
    insecure: bool,
    report: Report,
    timeouts: Timeouts | None = None,
) -> Pushed:
    """Send the image, its name last. Lower layers that the registry has where they came from are not sent again.
    `config` is the directory of registries.toml. Raises `registry_denied`, `registry_error`, `registry_busy`,
    `download_failed`, `tls_failed`, `credentials_error`."""
    settings = await in_thread(load_settings, config)
    if insecure:
        settings = settings.with_insecure(reference.registry)
    transport = Transport(settings, timeouts)
    try:
        client = RegistryClient(transport, report=report)
        place = Place(Endpoint(reference.api_host), reference.repository, actions="pull,push")
        upload = Upload(client, place, _mount_from(image.origin, reference))
        documents = image.documents
        sent = await _send_layers(upload, image, report)
        with await in_thread(hold, documents.config) as held:
            await upload.send_blob(Blob(documents.config_digest, held), lambda count: None)
        version = reference.tag or documents.digest
        await upload.put_manifest(version, documents.manifest, documents.media_type, documents.digest)
        return Pushed(name=reference.familiar, digest=documents.digest, layers=len(image.layers), sent=sent)
    finally:
        transport.close()


async def _send_layers(upload: Upload, image: Layered, report: Report) -> int:
    """Send each layer once, the lowest first. Returns how many the registry did not have."""
    blobs = {layer.digest: Blob(layer.digest, blob) for layer, blob in image.layers}
    total_bytes = sum(blob.size for blob in blobs.values())
    tally, sent = Tally(asyncio.get_running_loop(), report, total_bytes, phase="upload"), 0
    for number, blob in enumerate(blobs.values(), 1):
        tally.say(f"layer {number} of {len(blobs)}")
        sent += await upload.send_blob(blob, tally.add)
    return sent


def hold(data: bytes) -> ByteRange:
    """Bytes as an open file."""
    fd = os.memfd_create("blob", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(data)
    return ByteRange(fd)


def _mount_from(origin: Reference | None, target: Reference) -> str:
    """Another repository of the same registry that has the lower layers, or ""."""
    if origin is None or origin.registry != target.registry or origin.repository == target.repository:
        return ""
    return origin.repository
