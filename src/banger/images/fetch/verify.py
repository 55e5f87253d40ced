"""Checks of bytes against their digest."""

from __future__ import annotations

import hashlib

from banger.errors import Error
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.lifeline import Lifeline

_CHUNK_BYTES = 1024 * 1024


def hash_blob(blob: ByteRange, line: Lifeline) -> str:
    """The digest ("sha256:...") of the whole blob, which is at its beginning afterwards. Blocking. Raises `Cut`."""
    found = hashlib.sha256()
    buffer = bytearray(_CHUNK_BYTES)
    blob.seek(0)
    while count := blob.readinto(buffer):
        line.check()
        found.update(memoryview(buffer)[:count])
    blob.seek(0)
    return f"sha256:{found.hexdigest()}"


def check_blob(blob: ByteRange, digest: str, size: int, line: Lifeline) -> None:
    """Check size and digest of a blob. Blocking. Raises `image_invalid`, `Cut`."""
    if blob.size != size:
        raise _wrong(digest, f"it has {blob.size} bytes, not {size}")
    if hash_blob(blob, line) != digest:
        raise _wrong(digest, "its content does not have this digest")


def _wrong(digest: str, reason: str) -> Error:
    return Error("image_invalid", f"blob {digest} is damaged: {reason}", "pull the image again")
