"""The layer that makes one tree of another, in files without names, which disappear with their descriptors.

Blocking."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

from banger.errors import Error
from banger.host.fs import require_free
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.lifeline import Lifeline
from banger.images.made.differences import read_marks, write_difference
from banger.images.reference.documents import LAYER_GZIP, Layer
from banger.model.sizes import MIB

_CHUNK_BYTES = MIB
_LEVEL = 6


def make_layer(
    base: ByteRange | None, tree: ByteRange, directory: Path, keep_free_bytes: int, line: Lifeline
) -> tuple[Layer, ByteRange]:
    """The layer and its blob, which the caller closes. `base` and `tree` are tar archives of whole trees; without a
    base the layer has the whole tree. The same trees give the same layer. Raises `image_invalid`, `insufficient_disk`,
    `Cut`."""
    require_free(directory, 2 * tree.size + keep_free_bytes, "the layer")
    try:
        with tempfile.TemporaryFile(dir=directory) as plain:
            marks = read_marks(base, line) if base is not None else {}
            write_difference(marks, tree, plain, line)
            plain.seek(0)
            return _compress(plain, directory, line)
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Error("insufficient_disk", f"no space is left in {directory}", "free some space there") from exc


def _compress(plain: BinaryIO, directory: Path, line: Lifeline) -> tuple[Layer, ByteRange]:
    diff_id = hashlib.sha256()
    with tempfile.TemporaryFile(dir=directory) as file:
        with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
            while chunk := plain.read(_CHUNK_BYTES):
                line.check()
                diff_id.update(chunk)
                packed.write(chunk)
        file.flush()
        file.seek(0)
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        blob = ByteRange(os.dup(file.fileno()))
    return Layer(digest, blob.size, LAYER_GZIP, "sha256:" + diff_id.hexdigest()), blob
