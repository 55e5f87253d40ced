"""Compressed bytes, or a stream, in a file without a name that can be read at any position.

The file is in the cache and disappears with its last descriptor, even if this process is killed. Zeros take no space in
it, and the reserve of the file system stays free.
"""

from __future__ import annotations

import bz2
import errno
import lzma
import os
import tempfile
from collections.abc import AsyncIterable, Iterable, Iterator
from pathlib import Path

from banger.errors import Error
from banger.host.fs import Spare
from banger.host.thread import in_thread
from banger.images.disks.merge.inflate import Blob, LayerInput, fill, open_inflated
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.lifeline import Lifeline
from banger.images.records.sources.forms import Form, form_of
from banger.images.reference.documents import MAX_LAYER_BYTES, invalid
from banger.model.sizes import MIB
from banger.tar.failure import TarFailure

_CHUNK_BYTES = MIB
_PURPOSE = "the archive"
_LZMA_MEMORY_BYTES = 256 * MIB


def inflate(blob: ByteRange, line: Lifeline) -> Iterator[bytes | memoryview]:
    """The contents of a file in any of the usual compressions. A chunk is valid until the next one is requested.
    Blocking. Raises `image_invalid`, `Cut`."""
    form, total = form_of(blob), 0
    slowly = form in (Form.XZ, Form.BZIP2)
    chunks: Iterator[bytes | memoryview]
    chunks = _inflate_slowly(blob, form is Form.XZ, line) if slowly else _inflate_fast(blob, line)
    try:
        for chunk in chunks:
            total = _bounded(total + len(chunk))
            yield chunk
    except (lzma.LZMAError, TarFailure, EOFError, ValueError) as exc:
        raise invalid(f"it cannot be inflated: {str(exc)[:200]}") from exc


def spool_inflated(blob: ByteRange, directory: Path, line: Lifeline, keep_free_bytes: int = 0) -> ByteRange:
    """Blocking. Raises `image_invalid`, `insufficient_disk`, `Cut`."""
    return _write_all(inflate(blob, line), directory, line, keep_free_bytes)


def plain(blob: ByteRange) -> Iterator[bytes]:
    """The contents of a file, unchanged. Blocking."""
    blob.seek(0)
    while chunk := blob.read(_CHUNK_BYTES):
        yield chunk
    blob.seek(0)


async def spool_stream(stream: AsyncIterable[bytes], directory: Path, keep_free_bytes: int = 0) -> ByteRange:
    """Write a stream to such a file. Raises `image_invalid` for a stream that is too long, `insufficient_disk`."""
    spooled, total = await in_thread(_make, directory), 0
    spare = Spare(spooled.fileno(), keep_free_bytes, _PURPOSE)
    try:
        async for chunk in stream:
            await in_thread(_write, spooled.fileno(), chunk, spare)
            total = _bounded(total + len(chunk))
        os.ftruncate(spooled.fileno(), total)
    except BaseException:
        spooled.close()
        raise
    spooled.size = total
    return spooled


def _write_all(
    chunks: Iterable[bytes | memoryview], directory: Path, line: Lifeline, keep_free_bytes: int
) -> ByteRange:
    spooled, total = _make(directory), 0
    spare = Spare(spooled.fileno(), keep_free_bytes, _PURPOSE)
    try:
        for chunk in chunks:
            line.check()
            _write(spooled.fileno(), chunk, spare)
            total = _bounded(total + len(chunk))
        os.ftruncate(spooled.fileno(), total)
    except BaseException:
        spooled.close()
        raise
    spooled.size = total
    return spooled


def _make(directory: Path) -> ByteRange:
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        return ByteRange(os.dup(file.fileno()))


def _write(fd: int, chunk: bytes | memoryview, spare: Spare) -> None:
    view = memoryview(chunk)
    if view and not view[0] and not bytes(view).strip(b"\0"):
        os.lseek(fd, len(view), os.SEEK_CUR)
        return
    spare.spend(len(view))
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = "no space left in the cache for the archive"
        raise Error("insufficient_disk", message, "free space: banger image cache prune") from exc


def _bounded(total: int) -> int:
    if total > MAX_LAYER_BYTES:
        raise invalid(f"it holds more than {MAX_LAYER_BYTES} bytes")
    return total


def _inflate_fast(blob: ByteRange, line: Lifeline) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    with Blob(LayerInput("", "", blob.path, blob.offset, blob.size)) as source:
        reader = open_inflated(source)
        while count := fill(reader, buffer):
            line.check()
            yield buffer[:count]


def _inflate_slowly(blob: ByteRange, xz: bool, line: Lifeline) -> Iterator[bytes]:
    """xz and bzip2, with one stream or several one after the other. Any number of zeros may be between them."""
    data = blob.read(_CHUNK_BYTES) or b""
    while data:
        inflater = _make_inflater(xz)
        while not inflater.eof:
            line.check()
            if inflater.needs_input and not data:
                raise EOFError("it ends in the middle")
            yield _decompress(inflater, data)
            data = (blob.read(_CHUNK_BYTES) or b"") if inflater.needs_input else b""
        data = inflater.unused_data.lstrip(b"\0") or blob.read(_CHUNK_BYTES) or b""


def _decompress(inflater: lzma.LZMADecompressor | bz2.BZ2Decompressor, data: bytes) -> bytes:
    """Decompress. bz2 raises OSError for bad data."""
    try:
        return inflater.decompress(data, _CHUNK_BYTES)
    except OSError as exc:
        raise ValueError(str(exc)) from exc


def _make_inflater(xz: bool) -> lzma.LZMADecompressor | bz2.BZ2Decompressor:
    if xz:
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY_BYTES)
    return bz2.BZ2Decompressor()
