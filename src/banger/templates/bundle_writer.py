"""A snapshot's files → its bundle. Blocking: for a thread.

The manifest comes first and has the files' digests, so they are read twice: hashed, then packed. Holes are not read,
but hashed and compressed as the zeros they are. Nothing may write to the files meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import zstandard

from banger.errors import Error
from banger.host.sparse import read_sparse
from banger.model.template import Snapshot
from banger.templates.bundle import (
    MANIFEST,
    TAR_BLOCK,
    BundleFile,
    SealedManifest,
    check_names,
    seal,
    tar_header,
    tar_padding,
)
from banger.templates.qcow2_header import check_standalone_qcow2

_LEVEL = 3
_ANY_SIZE = 1 << 63


def describe(directory: Path, snapshot: Snapshot, names: Sequence[str], stop: Event) -> SealedManifest:
    """The manifest, and so the digest, of a bundle of these files. Raises `frozen_damaged` when one cannot be read,
    `snapshot_invalid` when one cannot be in a bundle: a disk that depends on another; `cancelled`."""
    check_names(list(names))
    return seal(snapshot, [_describe_file(directory / name, stop) for name in names])


def pack(directory: Path, sealed: SealedManifest) -> Generator[bytes, None, None]:
    """The bundle in pieces, many of them empty: one for each MiB that was read. The same files come out as the same
    bytes, with one version of zstd. Raises `frozen_damaged` when a file
    cannot be read or has another size than the manifest says."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()
    for piece in _archive(directory, sealed):
        yield compressor.compress(piece)
    yield compressor.flush()


def _describe_file(path: Path, stop: Event) -> BundleFile:
    digest = hashlib.sha256()
    with _open_frozen(path) as fd:
        size_bytes = os.fstat(fd).st_size
        if path.name.endswith(".qcow2"):
            check_standalone_qcow2(path, _ANY_SIZE)
        for piece in read_sparse(fd):
            if stop.is_set():
                raise Error("cancelled", f"{path.name} was being hashed when it was no longer wanted")
            digest.update(piece)
    return BundleFile(name=path.name, size_bytes=size_bytes, sha256=digest.hexdigest())


def _archive(directory: Path, sealed: SealedManifest) -> Iterator[bytes | memoryview]:
    yield tar_header(MANIFEST, len(sealed.data))
    yield sealed.data
    yield bytes(tar_padding(len(sealed.data)))
    for file in sealed.manifest.files:
        yield tar_header(file.name, file.size_bytes)
        with _open_frozen(directory / file.name) as fd:
            if os.fstat(fd).st_size != file.size_bytes:
                raise Error("frozen_damaged", f"the size of {directory / file.name} has changed")
            yield from read_sparse(fd)
        yield bytes(tar_padding(file.size_bytes))
    yield bytes(2 * TAR_BLOCK)


@contextmanager
def _open_frozen(path: Path) -> Iterator[int]:
    """A regular file, for reading; what goes wrong with it is `frozen_damaged`."""
    fd = -1
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Error("frozen_damaged", f"{path} is no file")
        yield fd
    except OSError as exc:
        raise Error("frozen_damaged", f"{path} cannot be read: {exc.strerror}", "look at the disk") from exc
    finally:
        if fd >= 0:
            os.close(fd)
