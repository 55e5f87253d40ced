"""An image's disk ↔ a bundle of a catalog. Blocking: for threads.

    manifest.json   kind "image"; architecture, configuration; the one file
    disk.ext4       the root disk

The disk's SHA-256, its holes being zeros, is its digest here: it says what is in it, wherever it was made.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Literal

import msgspec
from msgspec import Struct

from banger.bundles import reader, writer
from banger.bundles.members import BundleFile, invalid, quoted
from banger.errors import Error
from banger.host.fs import PARTIAL, discard, publish
from banger.images.records.ready_disk import looks_like_ext4
from banger.model.catalog import ImageEntry
from banger.model.image import Image, ImageConfig
from banger.model.sizes import TIB

DISK = "disk.ext4"
_MAX_BYTES = 16 * TIB
_CHUNK_BYTES = 1 << 18


class Manifest(Struct, kw_only=True, frozen=True):
    """`created` is when the disk was made."""

    format: Literal[1] = 1
    kind: Literal["image"] = "image"
    architecture: str
    created: str = ""
    config: ImageConfig
    files: tuple[BundleFile, ...]


def pack_image(image: Image, disk: Path, out: Path, stop: Event) -> BundleFile:
    """Write the bundle to `out`. Returns name, size and digest of its disk. Raises `image_invalid`, `cancelled`,
    OSError."""
    file = msgspec.structs.replace(writer.describe_file(disk, stop), name=DISK)
    manifest = Manifest(
        architecture=image.architecture, created=image.created, config=image.config, files=(file,)
    )
    with open(out, "xb") as target:
        for piece in writer.pack(msgspec.json.encode(manifest), [file], [disk]):
            if stop.is_set():
                raise Error("cancelled", "the writing of the bundle was cancelled")
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())
    return file


def unpack_image(bundle: io.RawIOBase, images: Path, entry: ImageEntry, stop: Event) -> tuple[Manifest, str]:
    """Unpack the disk as `images/<hex>.ext4`. Returns the manifest and that hex. The disk must be as the catalog's
    entry says, if it says anything. Raises `bundle_invalid`, `insufficient_disk`, `cancelled`; then the disk does not
    exist."""
    images.mkdir(parents=True, exist_ok=True)
    work = images / f"{PARTIAL}bundle-{os.getpid()}-{os.urandom(4).hex()}"
    work.mkdir(mode=0o700)
    try:
        manifest = reader.unpack(
            _chunks(bundle),
            work,
            lambda data: _parse_fitting(data, entry),
            entry.size_bytes or _MAX_BYTES,
            stop,
        )
        found = manifest.files[0].sha256
        if entry.digest not in ("", f"sha256:{found}"):
            raise invalid(f"the disk of the bundle is sha256:{found}, the catalog says {entry.digest}")
        if not looks_like_ext4(work / DISK):
            raise invalid("the disk of the bundle is not an ext4 file system")
        (work / DISK).chmod(0o444)
        publish(work / DISK, images / f"{found}.ext4")
        return manifest, found
    finally:
        discard(work)


def _parse_fitting(data: bytes, entry: ImageEntry) -> Manifest:
    """Check architecture and size, before anything is written."""
    manifest = parse_manifest(data)
    size_bytes = manifest.files[0].size_bytes
    if manifest.architecture != entry.architecture:
        raise invalid(f"the bundle is for {manifest.architecture}, the catalog says {entry.architecture}")
    if entry.size_bytes not in (0, size_bytes):
        raise invalid(f"the disk of the bundle has {size_bytes} bytes, the catalog says {entry.size_bytes}")
    return manifest


def parse_manifest(data: bytes) -> Manifest:
    """Raises `bundle_invalid`."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise invalid(f"the bundle is not one of an image: {quoted(str(exc))}") from exc
    if [file.name for file in manifest.files] != [DISK]:
        raise invalid(f"the bundle of an image has one file, {DISK}")
    return manifest


def _chunks(bundle: io.RawIOBase) -> Iterator[bytes]:
    bundle.seek(0)
    while chunk := bundle.read(_CHUNK_BYTES):
        yield chunk
