"""A volume in one file: a tar archive, compressed with zstd, of a manifest and the disk. Blocking: for threads.

    manifest.json   the format, the volume's name, size and labels, and the disk's digest
    disk.ext4       the disk, with its holes as zeros

`tar --zstd -xf` unpacks it, too; any Linux mounts the disk.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from banger.bundles import reader, writer
from banger.bundles.members import MANIFEST, BundleFile, quoted
from banger.errors import BundleInvalid, Error
from banger.host.sparse import CHUNK, write_sparse
from banger.model.labels import Labels
from banger.model.volume import LEAST_SIZE_BYTES, MOST_SIZE_BYTES, Volume, check_volume_size
from banger.volumes.disks import DISK, disk_of

FORMAT = 1
_ZSTD_MARK = b"\x28\xb5\x2f\xfd"
_EXT4_MARK, _EXT4_MARK_END = b"\x53\xef", 1024 + 0x3A


class Manifest(Struct, kw_only=True, frozen=True):
    """Fields that a newer banger writes are ignored."""

    format: Annotated[int, Meta(ge=1)] = FORMAT
    name: Annotated[str, Meta(max_length=128)]
    size_bytes: int
    labels: Labels = {}
    files: tuple[BundleFile, ...]


def pack(volume: Volume, directory: Path, stop: Event) -> Generator[bytes, None, None]:
    """The bundle in pieces, many of them empty. Reads the disk at once, to hash it, and then again. No process may
    write to it meanwhile. Raises `volume_invalid` if the disk cannot be read."""
    with _reading(directory):
        file = writer.describe_file(disk_of(directory), stop)
    manifest = Manifest(
        name=volume.name, size_bytes=volume.size_bytes, labels=dict(volume.labels), files=(file,)
    )
    return _pack(msgspec.json.encode(manifest), file, directory)


def _pack(manifest: bytes, file: BundleFile, directory: Path) -> Generator[bytes, None, None]:
    with _reading(directory):
        yield from writer.pack(manifest, [file], [disk_of(directory)])


@contextmanager
def _reading(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        message = f"{disk_of(directory)} cannot be read: {exc.strerror}"
        raise Error("volume_invalid", message, "check the host's disk") from exc


def unpack(pieces: Iterator[bytes], directory: Path, stop: Event) -> Manifest:
    """Write the disk of a stranger's bundle, or a stranger's ext4 disk as it is, into a directory of the caller, who
    removes it when this raises `volume_invalid`, `bad_size`, `insufficient_disk` or `cancelled`. Of what is on the
    disk, only the mark of ext4 is looked at. An ext4 disk has no name."""
    head = b""
    while len(head) < _EXT4_MARK_END and (piece := next(pieces, None)) is not None:
        head += piece
    whole = chain([head], pieces)
    if head[_EXT4_MARK_END - len(_EXT4_MARK) : _EXT4_MARK_END] == _EXT4_MARK and head[:4] != _ZSTD_MARK:
        return _unpack_raw(whole, disk_of(directory), stop)
    try:
        return reader.unpack(whole, directory, parse_manifest, MOST_SIZE_BYTES, stop)
    except BundleInvalid as exc:
        raise invalid(exc.message, exc.hint) from exc


def _unpack_raw(pieces: Iterator[bytes], disk: Path, stop: Event) -> Manifest:
    """Blocks of zeros become holes."""
    size_bytes, waiting = 0, bytearray()
    with open(disk, "xb", buffering=0, opener=_private) as file:
        for piece in chain(pieces, [None]):
            if stop.is_set():
                raise Error("cancelled", "the import of the disk was cancelled")
            waiting += piece or b""
            while len(waiting) >= CHUNK or (piece is None and waiting):
                length = min(CHUNK, len(waiting))
                if size_bytes + length > MOST_SIZE_BYTES:
                    check_volume_size(size_bytes + length)
                file.truncate(size_bytes + length)
                write_sparse(file.fileno(), waiting, length, size_bytes)
                size_bytes += length
                del waiting[:length]
        size_bytes = check_volume_size(max(size_bytes, LEAST_SIZE_BYTES))
        file.truncate(size_bytes)
    return Manifest(name="", size_bytes=size_bytes, files=())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


class _AnyFormat(Struct):
    format: int


def parse_manifest(data: bytes) -> Manifest:
    """Raises `volume_invalid`, `bad_size`."""
    try:
        written = msgspec.json.decode(data, type=_AnyFormat).format
        if written != FORMAT:
            raise invalid(
                f"the file has format {written}, this banger reads format {FORMAT}", "use a newer banger"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise invalid(f"{MANIFEST} is malformed: {quoted(str(exc))}") from exc
    if [file.name for file in manifest.files] != [DISK]:
        raise invalid(f"the file of a volume has one disk, {DISK}, and nothing else")
    if manifest.files[0].size_bytes != manifest.size_bytes:
        raise invalid(f"the disk has not the size that {MANIFEST} says")
    if check_volume_size(manifest.size_bytes) != manifest.size_bytes:
        raise invalid("the disk does not consist of whole blocks")
    return manifest


def invalid(message: str, hint: str = "export the volume again") -> Error:
    return Error("volume_invalid", message, hint)
