"""A volume in one file: a tar archive, compressed with zstd. Blocking: for threads.

    manifest.json   the format, and the volume's name, size and labels
    disk.ext4       the disk, with holes (GNU's sparse form 1.0), so that a large disk with little in it goes quickly
    disk.sha256     the digest of the stretches of the disk, each behind a line with its place and length

`tar --zstd -xf` unpacks it, too; any Linux mounts the disk.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Annotated

import msgspec
import zstandard
from msgspec import Meta, Struct

from banger.bundles.members import MANIFEST, MANIFEST_MAX_BYTES, quoted
from banger.bundles.writer import LEVEL
from banger.bundles.zstd_frame import inflate
from banger.errors import BundleInvalid, Error
from banger.host.sparse import CHUNK, data_extents, write_sparse
from banger.model.labels import Labels
from banger.model.volume import LEAST_SIZE_BYTES, MOST_SIZE_BYTES, Volume, check_volume_size
from banger.tar.cursor import Cursor
from banger.tar.entries import read_entries
from banger.tar.entry import Entry
from banger.tar.failure import TarFailure
from banger.tar.kind import Kind
from banger.tar.limits import Bounds
from banger.tar.writer import END, padding, write_headers
from banger.volumes.disks import DISK, disk_of

FORMAT = 1
_DIGEST = "disk.sha256"
_DIGEST_BYTES = 64
# Of one disk; smaller holes are sent as zeros until there are no more stretches than that.
_STRETCHES_MAX = 1 << 16
_ZSTD_MARK = b"\x28\xb5\x2f\xfd"
_EXT4_MARK, _EXT4_MARK_END = b"\x53\xef", 1024 + 0x3A

Stretch = tuple[int, int]
Check = Callable[["Manifest"], object]


class Manifest(Struct, kw_only=True, frozen=True):
    """Fields that a newer banger writes are ignored."""

    format: Annotated[int, Meta(ge=1)] = FORMAT
    name: Annotated[str, Meta(max_length=128)]
    size_bytes: int
    labels: Labels = {}


def pack(volume: Volume, directory: Path) -> Generator[bytes, None, None]:
    """The bundle in pieces, many of them empty. No process may write to the disk meanwhile. Raises `volume_invalid` if
    the disk cannot be read."""
    manifest = Manifest(name=volume.name, size_bytes=volume.size_bytes, labels=dict(volume.labels))
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
    with _reading(directory):
        for piece in _archive(msgspec.json.encode(manifest), disk_of(directory)):
            yield compressor.compress(piece)
        yield compressor.flush()


def _archive(manifest: bytes, disk: Path) -> Iterator[bytes]:
    yield from _member(MANIFEST, manifest)
    digest = hashlib.sha256()
    with open(disk, "rb", buffering=0) as file:
        fd = file.fileno()
        entry = _entry(DISK, os.fstat(fd).st_size)
        entry.segments = find_stretches(fd)
        entry.stored = sum(length for _, length in entry.segments)
        yield write_headers(entry)
        for offset, length in entry.segments:
            digest.update(b"%d %d\n" % (offset, length))
            for at in range(offset, offset + length, CHUNK):
                piece = os.pread(fd, min(CHUNK, offset + length - at), at)
                digest.update(piece)
                yield piece
        yield padding(entry.stored)
    yield from _member(_DIGEST, digest.hexdigest().encode())
    yield END


def _entry(name: str, size: int) -> Entry:
    return Entry(name.encode(), Kind.FILE, (0o600, 0, 0), 0, size)


def _member(name: str, data: bytes) -> Iterator[bytes]:
    yield write_headers(_entry(name, len(data)))
    yield data
    yield padding(len(data))


def find_stretches(fd: int, most: int = _STRETCHES_MAX) -> tuple[Stretch, ...]:
    """The (offset, length) of each stretch of data, at most `most` of them."""
    found = [(begin, end - begin) for begin, end in data_extents(fd)]
    gap = CHUNK // 16
    while len(found) > most:
        joined = found[:1]
        for begin, length in found[1:]:
            before, so_far = joined[-1]
            if begin - before - so_far <= gap:
                joined[-1] = (before, begin + length - before)
            else:
                joined.append((begin, length))
        found, gap = joined, 4 * gap
    return tuple(found)


@contextmanager
def _reading(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        message = f"{disk_of(directory)} cannot be read: {exc.strerror}"
        raise Error("volume_invalid", message, "check the host's disk") from exc


def unpack(
    pieces: Iterator[bytes], directory: Path, stop: Event, check: Check = lambda manifest: None
) -> Manifest:
    """Write the disk of a stranger's bundle, or a stranger's ext4 disk as it is, into a directory of the caller, who
    removes it when this raises `volume_invalid`, `bad_size`, `cancelled`, OSError or an error of `check`, which is
    called before anything is written. Of what is on the disk, only the mark of ext4 is looked at. An ext4 disk has no
    name."""
    head = b""
    while len(head) < _EXT4_MARK_END and (piece := next(pieces, None)) is not None:
        head += piece
    whole = chain([head], pieces)
    if head[_EXT4_MARK_END - len(_EXT4_MARK) : _EXT4_MARK_END] == _EXT4_MARK and head[:4] != _ZSTD_MARK:
        return _unpack_raw(whole, disk_of(directory), stop)
    try:
        return _unpack_archive(_heeding(inflate(whole), stop), disk_of(directory), check)
    except BundleInvalid as exc:
        raise invalid(exc.message, exc.hint) from exc
    except TarFailure as exc:
        raise invalid(f"the file of the volume is damaged: {quoted(exc.what)}") from exc


def _heeding(pieces: Iterator[bytes], stop: Event) -> Iterator[bytes]:
    for piece in pieces:
        if stop.is_set():
            raise Error("cancelled", "the import of the volume was cancelled")
        yield piece


def _unpack_archive(pieces: Iterator[bytes], disk: Path, check: Check) -> Manifest:
    cursor = Cursor(lambda: next((memoryview(piece) for piece in pieces if piece), None))
    entries = read_entries(cursor, Bounds(entries=16), lambda name: False, to_its_end=True)
    manifest = parse_manifest(_take_small(entries, cursor, MANIFEST, MANIFEST_MAX_BYTES))
    check(manifest)
    entry = _take(entries, DISK)
    if entry.size != manifest.size_bytes:
        raise invalid(f"the disk has not the size that {MANIFEST} says")
    digest = _write_disk(cursor, entry, disk)
    if _take_small(entries, cursor, _DIGEST, _DIGEST_BYTES) != digest.encode():
        raise invalid("the disk does not have the digest that the file says")
    if next(entries, None) is not None:
        raise invalid("the file of the volume has more in it than a disk")
    while cursor.fetch():  # to the checksum of zstd
        pass
    return manifest


def _take(entries: Iterator[Entry], name: str) -> Entry:
    entry = next(entries, None)
    if entry is None or entry.path != name.encode() or entry.kind is not Kind.FILE:
        raise invalid(f"the file of the volume has no {name} where it should be")
    return entry


def _take_small(entries: Iterator[Entry], cursor: Cursor, name: str, most: int) -> bytes:
    entry = _take(entries, name)
    if entry.segments is not None or entry.size > most:
        raise invalid(f"{name} is too large")
    data = cursor.read(entry.stored)
    cursor.skip_padding(entry.stored)
    return data


def _write_disk(cursor: Cursor, entry: Entry, disk: Path) -> str:
    """Returns the digest, in hex digits."""
    digest = hashlib.sha256()
    with open(disk, "xb", buffering=0, opener=_private) as file:
        file.truncate(entry.size)
        for offset, length in entry.segments if entry.segments is not None else [(0, entry.size)]:
            digest.update(b"%d %d\n" % (offset, length))
            at = offset
            for piece in cursor.pieces(length):
                digest.update(piece)
                write_sparse(file.fileno(), bytes(piece), len(piece), at)
                at += len(piece)
    cursor.skip_padding(entry.stored)
    return digest.hexdigest()


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
    return Manifest(name="", size_bytes=size_bytes)


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
    if manifest.size_bytes <= 0 or check_volume_size(manifest.size_bytes) != manifest.size_bytes:
        raise invalid("the disk does not consist of whole blocks")
    return manifest


def invalid(message: str, hint: str = "export the volume again") -> Error:
    return Error("volume_invalid", message, hint)
