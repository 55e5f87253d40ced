"""A disk that the user made, as an image: copied (holes stay holes), checked, named by its bytes."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event

from banger.errors import Error
from banger.host.fs import PARTIAL, Spare, discard, publish, require_free
from banger.host.thread import in_stoppable_thread
from banger.images.disks.ext4.stream import write_at
from banger.images.records.sources.files import open_file

_CHUNK = 4 * 1024 * 1024
_MAGIC_AT, _MAGIC = 1080, b"\x53\xef"
_LEAST_BYTES = 1024 * 1024


async def copy_ready_disk(source: Path, images: Path, keep_free_bytes: int = 0) -> str:
    """Copy an ext4 disk to `images/<digest>.ext4` and return the digest. The disk is a regular file with an absolute
    path, never a device or pipe. Raises `file_not_found`, `image_invalid`, `insufficient_disk`."""
    return await in_stoppable_thread(lambda stop: _copy(source, images, keep_free_bytes, stop))


def looks_like_ext4(path: Path) -> bool:
    """Blocking."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        return size >= _LEAST_BYTES and size % 512 == 0 and os.pread(file.fileno(), 2, _MAGIC_AT) == _MAGIC


def _copy(source: Path, images: Path, keep_free_bytes: int, stop: Event) -> str:
    partial = images / f"{PARTIAL}disk-{os.getpid()}-{os.urandom(4).hex()}"
    with open_file(str(source)) as file:
        fd = file.fileno()
        try:
            size = _check(fd, source)
            images.mkdir(parents=True, exist_ok=True)
            require_free(images, os.fstat(fd).st_blocks * 512, f"a copy of {source}")
            digest = _copy_data(fd, partial, size, keep_free_bytes, stop)
            partial.chmod(0o444)
            publish(partial, images / f"{digest}.ext4")
            return digest
        finally:
            discard(partial)


def _check(fd: int, source: Path) -> int:
    size = os.fstat(fd).st_size
    if size < _LEAST_BYTES or size % 512 or os.pread(fd, 2, _MAGIC_AT) != _MAGIC:
        raise Error(
            "image_invalid",
            f"{source} is not an ext4 disk",
            "make a disk with mke2fs -t ext4, without partitions",
        )
    return size


def _copy_data(fd: int, partial: Path, size: int, keep_free_bytes: int, stop: Event) -> str:
    """Copy the data and return the digest over size, data and positions: holes cost nothing."""
    digest = hashlib.sha256(f"disk {size}\n".encode())
    out = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(out, size)
        spare = Spare(out, keep_free_bytes, "the copy of the disk")
        for begin, end in _data_ranges(fd, size):
            for offset in range(begin, end, _CHUNK):
                if stop.is_set():
                    raise Error("cancelled", "the copy was cancelled")
                chunk = os.pread(fd, min(_CHUNK, end - offset), offset)
                if chunk.strip(b"\0"):
                    digest.update(offset.to_bytes(8, "little") + chunk)
                    spare.spend(len(chunk))
                    write_at(out, chunk, offset)
    finally:
        os.close(out)
    return digest.hexdigest()


def _data_ranges(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The stretches of a sparse file with data, in whole chunks: the same data is cut in the same way, however the file
    is stored."""
    position = 0
    while position < size:
        try:
            data = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno == errno.ENXIO:
                return
            raise
        begin = max(position, data // _CHUNK * _CHUNK)
        end = min(size, -(-os.lseek(fd, data, os.SEEK_HOLE) // _CHUNK) * _CHUNK)
        yield begin, end
        position = end
