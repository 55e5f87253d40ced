"""Files → a bundle. Blocking: for a thread.

The manifest comes first and contains the digests of the files, so each file is read twice: hashed, then packed. Holes
are not read: they are hashed and compressed as zeros. No process may write to the files meanwhile. Raises OSError, with
the file's name, if a file cannot be read or changes its size.
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
    """Size and digest of a file. Raises `cancelled`."""
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
    """The bundle in pieces. Many are empty: there is one for each MiB of a file. `paths` are the places of the `files`.
    The same files give the same bytes, with the same version of zstd."""
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
    """Open a regular file for reading. Errors name the file."""
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
