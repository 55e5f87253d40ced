"""A frozen machine on disk: what is in its directory, and whether that is still what was written.

    <directory>/memory        guest memory, sparse
                devices       the state of the VMM's devices
                root.qcow2    the root disk, with layer-*.qcow2 below it
                meta.json     what it is, and a sum of each of these files

Sums find disks that lost power and memory that was damaged, not attackers: the directory is its user's alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from isal import isal_zlib

from banger.errors import Error
from banger.host.fs import write_file
from banger.host.sparse import data_extents

META = "meta.json"
_CHUNK = 1 << 18
_ZEROS = memoryview(bytes(_CHUNK))
T = TypeVar("T")


class FileSum(msgspec.Struct):
    """`crc32` covers what is not zero, and where it lies."""

    size_bytes: int
    crc32: int


Sums = dict[str, FileSum]


def sum_files(directory: Path) -> Sums:
    """Of everything a frozen machine consists of. Blocking: some 10 ms for 100 MiB."""
    names = sorted(path.name for path in directory.iterdir() if _is_part(path.name))
    return {name: _sum_file(directory / name) for name in names}


def check_files(directory: Path, sums: Sums) -> None:
    """Raises `frozen_damaged`. Blocking."""
    for name, expected in sums.items():
        try:
            found = _sum_file(directory / name)
        except OSError as exc:
            raise Error("frozen_damaged", f"{directory / name}: {exc.strerror}") from exc
        if found != expected:
            raise Error("frozen_damaged", f"{directory / name} is not what was written")


def write_meta(directory: Path, meta: object) -> None:
    write_file(directory / META, msgspec.json.encode(meta))


def read_meta(directory: Path, kind: type[T]) -> T:
    """Raises `frozen_damaged`."""
    try:
        return msgspec.json.decode((directory / META).read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as exc:
        raise Error("frozen_damaged", f"{directory / META} cannot be read: {exc}") from exc


def _is_part(name: str) -> bool:
    return name in ("memory", "devices") or name.endswith(".qcow2")


def _sum_file(path: Path) -> FileSum:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    crc = 0
    buffer = memoryview(bytearray(_CHUNK))
    try:
        for offset in _chunks_with_data(fd):
            chunk = buffer[: os.preadv(fd, [buffer], offset)]
            if chunk != _ZEROS[: len(chunk)]:
                crc = isal_zlib.crc32(chunk, isal_zlib.crc32(b"%d" % offset, crc))
        return FileSum(os.fstat(fd).st_size, crc)
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
