"""Files → a bundle. Blocking: for a thread.

The manifest comes first and has the files' digests, so they are read twice: hashed, then packed. Holes are not read,
but hashed and compressed as the zeros they are. Nothing may write to the files meanwhile. Raises OSError, with the
file's name, for one that cannot be read or whose size has changed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import zstandard

from banger.bundles.members import MANIFEST, TAR_BLOCK, BundleFile, tar_header, tar_padding
from banger.errors import Error
from banger.host.sparse import read_sparse

LEVEL = 3


def describe_file(path: Path, stop: Event) -> BundleFile:
    """Its size and digest. Raises `cancelled`."""
    digest = hashlib.sha256()
    with _open_plain(path) as fd:
        size_bytes = os.fstat(fd).st_size
        for piece in read_sparse(fd):
            if stop.is_set():
                raise Error("cancelled", f"the hashing of {path.name} was cancelled")
            digest.update(piece)
    return BundleFile(name=path.name, size_bytes=size_bytes, sha256=digest.hexdigest())


def pack(
    manifest: bytes, files: Sequence[BundleFile], paths: Sequence[Path], level: int = LEVEL
) -> Generator[bytes, None, None]:
    """The bundle in pieces, many of them empty: one for each MiB that was read. `paths` are where the files are. The
    same files come out as the same bytes, with one version of zstd."""
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()
    for piece in _archive(manifest, files, paths):
        yield compressor.compress(piece)
    yield compressor.flush()


def _archive(
    manifest: bytes, files: Sequence[BundleFile], paths: Sequence[Path]
) -> Iterator[bytes | memoryview]:
    yield tar_header(MANIFEST, len(manifest))
    yield manifest
    yield bytes(tar_padding(len(manifest)))
    for file, path in zip(files, paths, strict=True):
        yield tar_header(file.name, file.size_bytes)
        with _open_plain(path) as fd:
            if os.fstat(fd).st_size != file.size_bytes:
                raise OSError(errno.EIO, "its size changed", str(path))
            yield from read_sparse(fd)
        yield bytes(tar_padding(file.size_bytes))
    yield bytes(2 * TAR_BLOCK)


@contextmanager
def _open_plain(path: Path) -> Iterator[int]:
    """A regular file, for reading. What goes wrong names it."""
    fd = -1
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        yield fd
    except OSError as exc:
        exc.filename = exc.filename or str(path)
        raise
    finally:
        if fd >= 0:
            os.close(fd)
