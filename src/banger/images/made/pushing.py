"""An image in layers to a registry."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from banger.host.thread import in_thread
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.client import Place, RegistryClient
from banger.images.fetch.settings import Endpoint, load_settings
from banger.images.fetch.transport import Timeouts, Transport
from banger.images.fetch.upload import Blob, Upload
from banger.images.made.documents import Layered
from banger.images.reference.reference import Reference
from banger.model.image import Pushed
from banger.model.operation import Report

_REPORT_EVERY_S = 0.1


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
    counted, sent = _Progress(report, sum(blob.size for blob in blobs.values())), 0
    for number, blob in enumerate(blobs.values(), 1):
        counted.begin(f"layer {number} of {len(blobs)}")
        sent += await upload.send_blob(blob, counted.add)
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


class _Progress:
    """Adds up what threads count, and reports it from the loop, a few times in a second."""

    def __init__(self, report: Report, total: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._report = report
        self._total = total
        self._done = 0
        self._told = 0.0
        self._what = ""

    def begin(self, what: str) -> None:
        self._what = what
        self._tell()

    def add(self, count: int) -> None:
        """Called from threads."""
        self._done += count
        now = time.monotonic()
        if now - self._told >= _REPORT_EVERY_S or self._done >= self._total:
            self._told = now
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._report("upload", self._what, max(0, min(self._done, self._total)), self._total, "bytes")
