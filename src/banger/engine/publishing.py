"""Images and kernels of this host, published in a catalog: packed as bundles, listed in an index, signed."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from pathlib import Path

from banger.catalogs.minisign import SecretKey, parse_public_key, parse_secret_key
from banger.catalogs.publication import Publication, bundles_of, verify_directory
from banger.errors import Error
from banger.host.fs import PARTIAL, read_plain, require_free
from banger.host.thread import in_stoppable_thread, in_thread
from banger.images.records.library import ImageLibrary
from banger.kernels.library import KernelLibrary
from banger.model.catalog import (
    BundleSource,
    ImageEntry,
    KernelEntry,
    Published,
    PublishRequest,
    Verified,
    VerifyRequest,
)
from banger.model.names import check_name
from banger.model.operation import Report

_KEY_BYTES = 4096


async def publish(
    images: ImageLibrary, kernels: KernelLibrary, request: PublishRequest, report: Report
) -> Published:
    """Publish an image or kernel, and return its entry: bundle and next index are in the directory. Raises
    `image_not_found`, `kernel_not_found`, `bad_request`, `bad_name`, `file_not_found`, `insufficient_disk`,
    `catalog_untrusted`; then the earlier index stays."""
    directory = _absolute(request.directory)
    try:
        return await _publish(images, kernels, request, directory, report)
    except OSError as exc:
        is_full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
        raise Error(
            "insufficient_disk" if is_full else "bad_request",
            f"cannot write to {exc.filename or directory}: {exc.strerror}",
            "free space there" if is_full else "publish to a directory that the daemon may write to",
        ) from exc


async def _publish(
    images: ImageLibrary, kernels: KernelLibrary, request: PublishRequest, directory: Path, report: Report
) -> Published:
    key = await in_thread(_read_key, request.key_file, request.password) if request.key_file else None
    publication = Publication(directory, key, request.catalog and check_name(request.catalog))
    await in_thread(publication.begin, time.time())  # errors of the directory come before the work
    bundles = await in_thread(publication.prepare)
    packed = bundles / f"{PARTIAL}{os.getpid()}-{os.urandom(4).hex()}"
    try:
        entry = await _pack(images, kernels, request, publication, packed, report)
    finally:
        await in_thread(packed.unlink, missing_ok=True)
    report("index", str(directory))
    await in_thread(publication.add, entry, time.time(), request.expires_s)
    if key is None:
        report("warning", f"the index is not signed; sign it with minisign -Sm {directory}/index.json")
    return Published(entry=entry.name, is_signed=key is not None)


async def verify(request: VerifyRequest, report: Report) -> Verified:
    """Check a catalog as a reader would, and return it. Raises as `verify_directory`."""
    key, directory = parse_public_key(request.key), _absolute(request.directory)
    loop, done = asyncio.get_running_loop(), 0

    def count(read_bytes: int) -> None:
        nonlocal done
        done += read_bytes
        loop.call_soon_threadsafe(report, "verify", "", done, 0, "bytes")

    index = await in_stoppable_thread(lambda stop: verify_directory(directory, key, time.time(), count, stop))
    verified = Verified(catalog=index.name, version=index.version, bundles=len(bundles_of(index)))
    report("verified", f"version {verified.version}, {verified.bundles} bundles")
    return verified


async def _pack(
    images: ImageLibrary,
    kernels: KernelLibrary,
    request: PublishRequest,
    publication: Publication,
    packed: Path,
    report: Report,
) -> ImageEntry | KernelEntry:
    if request.kind == "image":
        image = images.get(request.name)
        await in_thread(require_free, packed.parent, image.used_bytes // 2, "the bundle")
        report("pack", image.name)
        file = await images.pack(image, packed)
        source: BundleSource = await in_thread(publication.take_bundle, packed)
        return ImageEntry(
            name=_entry_name(request, image.name),
            aliases=tuple(request.aliases),
            description=request.description,
            architecture=image.architecture,
            size_bytes=file.size_bytes,
            digest=f"sha256:{file.sha256}",
            created=image.created,
            provenance=request.provenance or image.source[:512],
            sources=(source,),
            init="image" if image.init == "image" else "agent",
            kernel=image.kernel.rpartition("/")[2],
        )
    kernel = kernels.get(request.name)
    await in_thread(require_free, packed.parent, kernel.size_bytes, "the bundle")
    report("pack", kernel.name)
    file = await kernels.pack(kernel, packed)
    source = await in_thread(publication.take_bundle, packed)
    return KernelEntry(
        name=_entry_name(request, kernel.name),
        aliases=tuple(request.aliases),
        description=request.description,
        architecture=kernel.architecture,
        size_bytes=file.size_bytes,
        digest=f"sha256:{file.sha256}",
        created=kernel.created,
        provenance=request.provenance or kernel.source[:512],
        sources=(source,),
    )


def _entry_name(request: PublishRequest, name: str) -> str:
    """A name in a catalog has no registry, path or tag."""
    return request.entry or name.rpartition("/")[2].partition(":")[0]


def _absolute(directory: str) -> Path:
    if not directory.startswith("/"):
        raise Error("bad_request", f"{directory!r} is not an absolute path")
    return Path(directory)


def _read_key(path: str, password: str) -> SecretKey:
    try:
        text = read_plain(path, _KEY_BYTES).decode("ascii", "replace")
    except OSError as exc:
        raise Error("file_not_found", f"cannot read the key {path}: {exc.strerror}") from exc
    return parse_secret_key(text, password)
