"""A layer's compressed bytes → its tar stream. The first bytes tell the compression.

The media type is ignored: some images declare another compression than their layers have, and other engines look at the
first bytes, too. In the end the diff-id decides whether the result is right.
"""

from __future__ import annotations

import io
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

import zstandard
from isal.igzip_lib import IsalError

# igzip's reader in C inflates straight into our buffer and accepts files of several members. It has no public name; the
# public classes copy its result once more.
from isal.isal_zlib import _GzipReader

from banger.tar.failure import Corrupt, Refused

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_READ_BYTES = 512 * 1024
_ZSTD_WINDOW_BYTES = 128 * 1024 * 1024
_MAGICS_REFUSED = {b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
# The library's stubs give the exception class the type of an exception.
_ISAL_ERROR = cast(type[Exception], IsalError)
_INFLATE_ERRORS = (zlib.error, _ISAL_ERROR, zstandard.ZstdError, EOFError)


@dataclass(frozen=True)
class LayerInput:
    """The place of a layer's blob, and what its inflated bytes must be.

    `length` is the blob's; -1 means up to the end of the file. `digest` names the layer in messages; the caller that
    fetched the blob has checked it. `diff_id` is checked here."""

    digest: str
    diff_id: str
    path: Path
    offset: int = 0
    length: int = -1


class Inflated(Protocol):
    """The interface of a decompressor: each read returns at least a few bytes, and 0 at the end."""

    def readinto(self, buffer: bytearray | memoryview, /) -> int | None: ...


class Blob(io.RawIOBase):
    """A part of a file, read from its beginning. Closing it closes the file."""

    def __init__(self, layer: LayerInput) -> None:
        super().__init__()
        self._fd = os.open(layer.path, os.O_RDONLY | os.O_CLOEXEC)
        self._at = layer.offset
        size = os.fstat(self._fd).st_size
        self._end = size if layer.length < 0 else layer.offset + layer.length
        self.consumed = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)[: max(0, self._end - self._at)]
        count = os.preadv(self._fd, [view], self._at) if view else 0
        self._at += count
        self.consumed += count
        return count

    def first_bytes(self) -> bytes:
        return os.pread(self._fd, min(6, max(0, self._end - self._at)), self._at)

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


def open_inflated(blob: Blob) -> Inflated:
    """A reader of the tar stream in `blob`. Raises `Refused` for compressions that no image may use."""
    magic = blob.first_bytes()
    if magic.startswith(b"\x1f\x8b"):
        return _GzipReader(cast(BinaryIO, blob), _READ_BYTES)
    if magic.startswith(b"\x28\xb5\x2f\xfd") or magic[1:4] == b"\x2a\x4d\x18":
        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
        return decompressor.stream_reader(
            cast(BinaryIO, blob), read_size=_READ_BYTES, read_across_frames=True
        )
    for refused, name in _MAGICS_REFUSED.items():
        if magic.startswith(refused):
            raise Refused(f"compressed with {name}; banger reads gzip, zstd and uncompressed layers")
    return blob


def fill(source: Inflated, buffer: memoryview) -> int:
    """Read until `buffer` is full or the stream ends. Returns the number of bytes. Raises `Corrupt`."""
    filled = 0
    try:
        while filled < len(buffer):
            count = source.readinto(buffer[filled:])
            if not count:
                break
            filled += count
    except OSError as exc:
        # BadGzipFile is an OSError, without a number.
        if exc.errno is not None:
            raise
        raise Corrupt(f"cannot be inflated: {exc}") from exc
    except _INFLATE_ERRORS as exc:
        raise Corrupt(f"cannot be inflated: {exc}") from exc
    return filled
