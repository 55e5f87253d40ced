"""A frozen machine on disk: whether what is in its directory is still what was written.

Its files are the VMM driver's (`vmm.frozen`), but for `meta.json`: what it is, and a sum of each of them.

Sums find disks that lost power, memory that was damaged, and files that somebody else of the same user wrote to. What
has been summed is summed again when its file is another, or was changed: the kernel sets a file's change time, and lets
nobody choose it.
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
from banger.host.fs import write_file
from banger.host.sparse import data_extents

META = "meta.json"
_CHUNK = 1 << 18
_ZEROS = memoryview(bytes(_CHUNK))
T = TypeVar("T")


class FileSum(msgspec.Struct, omit_defaults=True):
    """`sha256` covers what is not zero, and where it lies. Earlier versions wrote a `crc32` in its place."""

    size_bytes: int
    sha256: str = ""
    crc32: int | None = None


Sums = dict[str, FileSum]


def sum_files(directory: Path, names: Iterable[str]) -> Sums:
    """Of the files that a frozen machine consists of. Blocking: some 60 ms for 100 MiB."""
    return {name: _sum_file(directory / name, legacy=False) for name in names}


def check_files(directory: Path, sums: Sums) -> None:
    """Raises `frozen_damaged`. Blocking."""
    Checks(directory, sums).check()


class _Stamp(NamedTuple):
    """Of a file: what is another when its contents may be others."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


class Checks:
    """What has been found right of a frozen machine; lives as long as somebody starts clones of it."""

    def __init__(self, directory: Path, sums: Sums) -> None:
        self._directory = directory
        self._sums = sums
        self._right: dict[str, _Stamp] = {}

    @classmethod
    def of_new(cls, directory: Path, names: Iterable[str]) -> Checks:
        """Of files that were written just now. Not of the disk, which however large it is each clone links to.
        Blocking. Raises OSError."""
        checks = cls(directory, {})
        for name in names:
            checks._right[name] = _stamp(directory / name)
            checks._sums[name] = _sum_file(directory / name, legacy=False)
        return checks

    def is_right(self) -> bool:
        """Whether no file has changed since it was summed. Quick."""
        try:
            return all(_stamp(self._directory / name) == self._right.get(name) for name in self._sums)
        except OSError:
            return False

    def check(self) -> None:
        """Sum what has changed, at first all of it. Raises `frozen_damaged`. Blocking.

        A link to a file, or one that goes, changes it too: that of a layer, with each clone."""
        for name, expected in self._sums.items():
            path = self._directory / name
            try:
                stamp = _stamp(path)  # before it is read, so that a change meanwhile is seen the next time
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
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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
    """Where chunks begin that are no holes as a whole. What is a hole may change when the file system writes out what
    it has in memory, so a chunk of zeros must count as one."""
    following = 0
    for begin, end in data_extents(fd):
        first = max(following, begin // _CHUNK * _CHUNK)
        yield from range(first, end, _CHUNK)
        following = -(-end // _CHUNK) * _CHUNK
