"""A stranger's bundle → files. Blocking: for a thread.

Everything is checked while it is read, in bounded memory, and nothing is written before the manifest was checked.
Blocks of zeros become holes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Protocol, TypeVar

from banger.bundles.members import (
    MANIFEST,
    MANIFEST_MAX_BYTES,
    TAR_BLOCK,
    BundleFile,
    check_names,
    invalid,
    quoted,
    tar_padding,
)
from banger.bundles.piece_reader import PieceReader
from banger.bundles.zstd_frame import inflate
from banger.errors import Error
from banger.host.fs import sync_path
from banger.host.sparse import CHUNK, write_sparse
from banger.model.sizes import format_size

_END_BLOCKS_MAX = (
    21  # two blocks at the end of an archive, and the blocks that tar adds to make a multiple of twenty
)
_ZERO_BLOCK = bytes(TAR_BLOCK)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Manifest(Protocol):
    """The fields of every manifest."""

    @property
    def files(self) -> Sequence[BundleFile]: ...


M = TypeVar("M", bound=Manifest)


def unpack(
    pieces: Iterator[bytes],
    directory: Path,
    parse: Callable[[bytes], M],
    total_bytes: int,
    stop: Event,
    check: Callable[[Path], None] = lambda path: None,
) -> M:
    """Write the files of the bundle in `pieces` into `directory`, with mode 0600, synced. Returns what `parse` makes of
    the manifest. `total_bytes` limits all files together, with their holes: zeros take time to hash, too. `check` is
    called for each file, after its digest was found right.

    The caller owns the directory, and removes it when this raises `bundle_invalid`, `insufficient_disk`, `cancelled`,
    or an error of `parse` or `check`."""
    archive = PieceReader(inflate(pieces))
    manifest = parse(_take_manifest(archive))
    check_names([file.name for file in manifest.files])
    _check_total(manifest.files, total_bytes)
    for file in manifest.files:
        _check_size(_take_header(archive, file.name), file)
        _unpack_file(archive, file, directory / file.name, stop)
        check(directory / file.name)
    _take_end(archive, stop)
    sync_path(directory)
    return manifest


def _take_manifest(archive: PieceReader) -> bytes:
    size = _take_header(archive, MANIFEST)
    if not 0 < size <= MANIFEST_MAX_BYTES:
        raise invalid(f"{MANIFEST} has {size} bytes; 1 to {MANIFEST_MAX_BYTES} are allowed")
    data = archive.take(size)
    _take_padding(archive, size)
    return data


def _check_total(files: Sequence[BundleFile], total_bytes: int) -> None:
    total = sum(file.size_bytes for file in files)
    if total > total_bytes:
        raise invalid(
            f"the bundle unpacks to {format_size(total)}; at most {format_size(total_bytes)} are allowed", ""
        )


def _take_header(archive: PieceReader, expected: str) -> int:
    """The size in the header of the next member, which must be the file `expected`."""
    block = archive.take(TAR_BLOCK)
    if block == _ZERO_BLOCK:
        raise invalid(f"the bundle ends where {expected} should be")
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as exc:
        raise invalid(f"the bundle is not a tar archive where {expected} should be: {exc}") from exc
    if member.name != expected:
        raise invalid(f"the bundle has {quoted(member.name)} where {expected} should be")
    if member.type != tarfile.REGTYPE:
        raise invalid(f"{expected} is not a regular file in the bundle")
    return member.size


def _check_size(size: int, file: BundleFile) -> None:
    if size != file.size_bytes:
        raise invalid(f"{file.name} has {size} bytes, {MANIFEST} says {file.size_bytes}")


def _unpack_file(archive: PieceReader, file: BundleFile, path: Path, stop: Event) -> None:
    with _new_file(path) as fd:
        os.ftruncate(fd, file.size_bytes)
        if _copy(archive, file, fd, stop) != file.sha256:
            raise invalid(f"{file.name} does not have the digest that {MANIFEST} says")
        os.fsync(fd)
    _take_padding(archive, file.size_bytes)


def _copy(archive: PieceReader, file: BundleFile, fd: int, stop: Event) -> str:
    """Copy a member and return the digest of its bytes, in hex digits."""
    digest, buffer = hashlib.sha256(), bytearray(CHUNK)
    for offset in range(0, file.size_bytes, CHUNK):
        _heed(stop)
        piece = memoryview(buffer)[: file.size_bytes - offset]
        archive.fill(piece)
        digest.update(piece)
        write_sparse(fd, buffer, len(piece), offset)
    return digest.hexdigest()


def _take_padding(archive: PieceReader, size_bytes: int) -> None:
    if archive.take(tar_padding(size_bytes)).strip(b"\0"):
        raise invalid("something is hidden between the files of the bundle")


def _take_end(archive: PieceReader, stop: Event) -> None:
    blocks = 0
    while blocks < 2 or not archive.at_end():
        _heed(stop)
        if archive.take(TAR_BLOCK) != _ZERO_BLOCK:
            raise invalid(f"the bundle has more in it than {MANIFEST} says")
        blocks += 1
        if blocks > _END_BLOCKS_MAX:
            raise invalid("the bundle goes on after its end")


def _heed(stop: Event) -> None:
    if stop.is_set():
        raise Error("cancelled", "the unpacking of the bundle was cancelled")


@contextmanager
def _new_file(path: Path) -> Iterator[int]:
    fd = -1
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        yield fd
    except OSError as exc:
        if exc.errno not in _NO_ROOM:
            raise
        raise Error(
            "insufficient_disk",
            f"no space to unpack {path.name} into {path.parent}: {exc.strerror}",
            "free space there, or move banger's directories (BANGER_HOME, XDG_STATE_HOME)",
        ) from exc
    finally:
        if fd >= 0:
            os.close(fd)
