"""A frozen machine on disk: check that the files in its directory are still what banger wrote.

The files belong to the VMM driver (`vmm.frozen`), except `meta.json`: a description, and a checksum of each file.

The checksums detect a disk that lost power, damaged memory, and files that another process of the user changed. A file
that was checked is checked again when it was replaced or changed. The kernel sets a file's change time, and no program
can choose it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from isal import isal_zlib

from banger.errors import Error
from banger.host.fs import open_plain, write_file
from banger.host.sparse import data_extents

META = "meta.json"
_CHUNK = 1 << 18
_ZEROS = memoryview(bytes(_CHUNK))
T = TypeVar("T")


class FileSum(msgspec.Struct, omit_defaults=True):
    """`sha256` covers the data that is not zero, and its offsets. Earlier versions wrote a `crc32` instead."""

    size_bytes: int
    sha256: str = ""
    crc32: int | None = None


Sums = dict[str, FileSum]


def sum_files(directory: Path, names: Iterable[str]) -> Sums:
    """The checksums of a frozen machine's files. Blocking: some 60 ms for 100 MiB."""
    return {name: _sum_file(directory / name, legacy=False) for name in names}


def check_files(directory: Path, sums: Sums) -> None:
    """Raises `frozen_damaged`. Blocking."""
    Checks(directory, sums).check()


class _Stamp(NamedTuple):
    """What identifies the contents of a file: if the contents may have changed, the stamp differs."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


class Checks:
    """Which files of a frozen machine have passed the check. Lives as long as clones are started from the frozen
    machine."""

    def __init__(self, directory: Path, sums: Sums) -> None:
        self._directory = directory
        self._sums = sums
        self._right: dict[str, _Stamp] = {}

    @classmethod
    def of_new(cls, directory: Path, names: Iterable[str]) -> Checks:
        """The checks of files that were written just now: sums them. `names` leaves out the disk, which may be large;
        each clone has a hard link to it. Blocking. Raises OSError."""
        checks = cls(directory, {})
        for name in names:
            checks._right[name] = _stamp(directory / name)
            checks._sums[name] = _sum_file(directory / name, legacy=False)
        return checks

    def is_right(self) -> bool:
        """Whether no file has changed since its check. Quick."""
        try:
            return all(_stamp(self._directory / name) == self._right.get(name) for name in self._sums)
        except OSError:
            return False

    def check(self) -> None:
        """Check the files that have changed; the first time, all files. Raises `frozen_damaged`. Blocking.

        A new or a removed hard link changes the file's change time too, so each clone causes a new check of the disk
        layers."""
        for name, expected in self._sums.items():
            path = self._directory / name
            try:
                stamp = _stamp(path)  # before the read, so that the next check sees a change during the read
                if self._right.get(name) == stamp:
                    continue
                found = _sum_file(path, legacy=not expected.sha256)
            except OSError as exc:
                raise Error("frozen_damaged", f"{path}: {exc.strerror}") from exc
            if found != expected:
                raise Error("frozen_damaged", f"{path} has changed since banger wrote it")
            self._right[name] = stamp


def write_meta(directory: Path, meta: object) -> None:
    write_file(directory / META, msgspec.json.encode(meta))


def read_meta(directory: Path, kind: type[T]) -> T:
    """Raises `frozen_damaged`."""
    try:
        return msgspec.json.decode((directory / META).read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as exc:
        raise Error("frozen_damaged", f"{directory / META} cannot be read: {exc}") from exc


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return _Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _sum_file(path: Path, *, legacy: bool) -> FileSum:
    fd = open_plain(path)
    digest, crc = hashlib.sha256(), 0
    buffer = memoryview(bytearray(_CHUNK))
    try:
        for offset in _chunks_with_data(fd):
            chunk = buffer[: os.preadv(fd, [buffer], offset)]
            if chunk == _ZEROS[: len(chunk)]:
                continue
            if legacy:
                crc = isal_zlib.crc32(chunk, isal_zlib.crc32(b"%d" % offset, crc))
            else:
                digest.update(b"%d:%d\n" % (offset, len(chunk)))
                digest.update(chunk)
        size_bytes = os.fstat(fd).st_size
        return FileSum(size_bytes, crc32=crc) if legacy else FileSum(size_bytes, digest.hexdigest())
    finally:
        os.close(fd)


def _chunks_with_data(fd: int) -> Iterator[int]:
    """Offsets of the chunks that are not wholly holes. The file system may turn zeros into holes when it writes out its
    cache, so the caller must treat a chunk of zeros like a hole."""
    following = 0
    for begin, end in data_extents(fd):
        first = max(following, begin // _CHUNK * _CHUNK)
        yield from range(first, end, _CHUNK)
        following = -(-end // _CHUNK) * _CHUNK
