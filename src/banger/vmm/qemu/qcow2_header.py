"""Check a stranger's qcow2 disk before QEMU opens it.

The header of a qcow2 file may name further files: a backing file, an external data file. QEMU opens them with the
rights of its user, and the guest reads their contents. So a disk of a stranger may name no file.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NamedTuple

from banger.errors import Error
from banger.model.sizes import format_size

_MAGIC = b"QFI\xfb"
# Magic, version, backing file's offset and length, cluster bits, size, encryption; tables and snapshots between;
# then, from version 3 on, incompatible features, two other sets of features, refcount order, header length.
_START = struct.Struct(">4sIQIIQI")
_FEATURES = struct.Struct(">QQQII")
_FEATURES_AT = 72
_LEAST_HEADER_BYTES = _FEATURES_AT + _FEATURES.size
_EXTENSION = struct.Struct(">II")  # kind, length; padded to 8 bytes
_EXTENSIONS_MAX = 64

_DIRTY = 1 << 0  # refcounts need repair: QEMU does that by itself
_END, _DATA_FILE, _ENCRYPTION = 0, 0x44415441, 0x0537BE77


class _Header(NamedTuple):
    version: int
    backing_offset: int
    cluster_bits: int
    size_bytes: int
    encryption: int
    incompatible: int
    header_bytes: int


def check_standalone_qcow2(path: Path, limit_bytes: int) -> None:
    """Raises `snapshot_invalid` unless the file is qcow2, depends on no other file, is not encrypted, needs only
    features that banger's own disks have, and shows its guest at most `limit_bytes`. Does not check the tables: an
    error there concerns only QEMU and this file."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        header = _read_header(fd, path.name)
        _check(header, path.name, limit_bytes)
        _check_extensions(fd, header, path.name)
    finally:
        os.close(fd)


def _read_header(fd: int, name: str) -> _Header:
    data = os.pread(fd, _LEAST_HEADER_BYTES, 0)
    if len(data) < _FEATURES_AT or not data.startswith(_MAGIC):
        raise invalid(f"{name} is not a qcow2 disk")
    _, version, backing_offset, _, cluster_bits, size_bytes, encryption = _START.unpack_from(data)
    incompatible, header_bytes = 0, _FEATURES_AT
    if version == 3:
        if len(data) < _LEAST_HEADER_BYTES:
            raise invalid(f"{name} is not a qcow2 disk: its header is cut off")
        incompatible, _, _, _, header_bytes = _FEATURES.unpack_from(data, _FEATURES_AT)
    return _Header(version, backing_offset, cluster_bits, size_bytes, encryption, incompatible, header_bytes)


def _check(header: _Header, name: str, limit_bytes: int) -> None:
    if header.version not in (2, 3):
        raise invalid(f"{name} is qcow2 of version {header.version}; only 2 and 3 are allowed")
    if header.backing_offset:
        raise _depends(name, "a backing file")
    if header.incompatible & ~_DIRTY:
        raise invalid(f"{name} needs features of qcow2 ({header.incompatible:#x}) that no bundle may have")
    if header.encryption:
        raise invalid(f"{name} is encrypted")
    if not 9 <= header.cluster_bits <= 21:
        raise invalid(f"{name} has clusters of a size that qcow2 does not have")
    if header.size_bytes > limit_bytes:
        raise invalid(
            f"{name} is a disk of {format_size(header.size_bytes)}; at most {format_size(limit_bytes)} are allowed"
        )
    if header.version == 3 and not _LEAST_HEADER_BYTES <= header.header_bytes <= 1 << header.cluster_bits:
        raise invalid(f"{name} has a header of a length that qcow2 does not have")


def _check_extensions(fd: int, header: _Header, name: str) -> None:
    """Refuse the extensions for an external data file and for encryption. QEMU ignores both unless their feature is
    set, which `check_standalone_qcow2` has refused, so an honest disk has neither."""
    position = header.header_bytes
    for _ in range(_EXTENSIONS_MAX):
        data = os.pread(fd, _EXTENSION.size, position)
        if position + _EXTENSION.size > 1 << header.cluster_bits or len(data) < _EXTENSION.size:
            return
        kind, length = _EXTENSION.unpack(data)
        if kind == _END:
            return
        if kind == _DATA_FILE:
            raise _depends(name, "an external data file")
        if kind == _ENCRYPTION:
            raise invalid(f"{name} is encrypted")
        position += _EXTENSION.size + -(-length // 8) * 8
    raise invalid(f"{name} has too many extensions in its header")


def invalid(message: str, hint: str = "export the snapshot again, and compare the digests") -> Error:
    return Error("snapshot_invalid", message, hint)


def _depends(name: str, what: str) -> Error:
    return invalid(f"{name} depends on {what}; a disk in a bundle must stand alone", "do not use this file")
