"""An empty qcow2 overlay, written by banger itself: `qemu-img create` would add tens of milliseconds to each start.

Layout (qcow2 version 3, QEMU's docs/interop/qcow2), in clusters of 64 KiB:

    0  header, backing format extension, backing file name
    1  refcount table
    2  refcount block (16-bit counts, covers 32768 clusters = 2 GiB of file)
    3… L1 table, all zero: every cluster comes from the backing file
"""

from __future__ import annotations

import os
from pathlib import Path
from struct import Struct

from banger.errors import Error

CLUSTER = 65536
_L2_COVERS = CLUSTER // 8 * CLUSTER
_HEADER = Struct(">4sIQIIQIIQQIIQQQQII")
_HEADER_SIZE = _HEADER.size
_BACKING_FORMAT = 0xE2792ACA
MAX_DISK_BYTES = 16 << 40


def encode_overlay(backing: str, backing_format: str, size_bytes: int) -> bytes:
    """The bytes of an empty overlay of `size_bytes` (rounded up to 512) over `backing`."""
    name = os.fsencode(backing)
    if len(name) > 1023:
        raise Error("bad_request", f"the path {backing} is too long for a backing file")
    if not 0 < size_bytes <= MAX_DISK_BYTES:
        raise Error("bad_size", "a disk has between 1 byte and 16 TiB")
    size_bytes = -(-size_bytes // 512) * 512
    entries = -(-size_bytes // _L2_COVERS)
    l1_clusters = max(1, -(-entries * 8 // CLUSTER))
    extension = _extension(_BACKING_FORMAT, backing_format.encode()) + bytes(8)
    name_offset = _HEADER_SIZE + len(extension)
    header = _HEADER.pack(
        b"QFI\xfb", 3, name_offset, len(name), CLUSTER.bit_length() - 1, size_bytes, 0, entries,
        3 * CLUSTER, CLUSTER, 1, 0, 0, 0, 0, 0, 4, _HEADER_SIZE,
    )  # fmt: skip
    used = 3 + l1_clusters
    return b"".join(
        (
            _padded(header + extension + name, CLUSTER),
            _padded((2 * CLUSTER).to_bytes(8, "big"), CLUSTER),
            _padded(b"\0\1" * used, CLUSTER),
            bytes(l1_clusters * CLUSTER),
        )
    )


def write_overlay(path: Path, backing: str, backing_format: str, size_bytes: int) -> None:
    """Write the file whole or not at all. No sync: the overlay has no contents to keep yet (`layers.sync` syncs it
    later). A relative `backing` lies beside `path`."""
    data = encode_overlay(backing, backing_format, size_bytes)
    partial = path.with_name(path.name + ".partial")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    partial.rename(path)


def _extension(kind: int, data: bytes) -> bytes:
    head = kind.to_bytes(4, "big") + len(data).to_bytes(4, "big")
    return head + _padded(data, 8)


def _padded(data: bytes, unit: int) -> bytes:
    return data + bytes(-len(data) % unit)
