"""Extents: which blocks hold a file's data.

A record, 12 bytes: logical block u32, count u16, physical block high u16, low u32. `Node.extents` is such records in
a row, by logical block. Up to four fit in the inode's `i_block`; more go to a tree of blocks, built from the leaves
upwards:

    i_block (60 bytes)          block
    | header | 4 records |  →   | header | 340 records | checksum |
      12       12 each

A header: magic 0xF30A u16, records u16, room for records u16, depth u16 (0: records are extents; else they point at
blocks one level down), generation u32.

Source: kernel Documentation/filesystems/ext4/ifork.rst, "Extent Tree".
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from banger.images.disks.ext4.checksum import extend, stored
from banger.images.disks.ext4.layout import BLOCK

EXTENT_BLOCKS_MAX = 32768
RECORD_BYTES = 12
IN_INODE_MAX = 4
_MAGIC = 0xF30A
_PER_BLOCK = (BLOCK - 12 - 4) // RECORD_BYTES
_RECORD = struct.Struct("<IHHI")
_INDEX = struct.Struct("<IIHH")
_HEADER = struct.Struct("<HHHHI")
_CHECKSUM = struct.Struct("<I")
_TAIL_AT = 12 + _PER_BLOCK * RECORD_BYTES

_HEADERS = [_HEADER.pack(_MAGIC, count, IN_INODE_MAX, 0, 0) for count in range(IN_INODE_MAX + 1)]
NO_EXTENTS = _HEADERS[0] + bytes(48)
_HEADER_OF_ONE = _HEADERS[1]
_AFTER_ONE = bytes(36)


def pack_extent(logical: int, count: int, physical: int) -> bytes:
    return _RECORD.pack(logical, count, physical >> 32, physical & 0xFFFFFFFF)


def unpack_extents(extents: bytes) -> list[tuple[int, int, int]]:
    """The (logical block, physical block, count) of each extent."""
    return [(logical, high << 32 | low, count) for logical, count, high, low in _RECORD.iter_unpack(extents)]


def pack_run(logical: int, physical: int, count: int) -> bytes:
    """The records of `count` blocks in a row: an extent has at most 32,768 of them."""
    records = []
    while count:
        length = min(count, EXTENT_BLOCKS_MAX)
        records.append(pack_extent(logical, length, physical))
        logical, physical, count = logical + length, physical + length, count - length
    return b"".join(records)


def count_blocks(extents: bytes) -> int:
    return sum(count for _, count, _, _ in _RECORD.iter_unpack(extents))


def in_inode(extents: bytes) -> bytes:
    """`i_block` with at most four extents."""
    if len(extents) == RECORD_BYTES:
        return _HEADER_OF_ONE + extents + _AFTER_ONE
    return _HEADERS[len(extents) // RECORD_BYTES] + extents + bytes(48 - len(extents))


def build_tree(extents: bytes, seed: int, put_block: Callable[[bytes], int]) -> tuple[bytes, int]:
    """`i_block` for any number of extents, and how many blocks of the disk the tree takes. `put_block` writes a block
    and returns its number; `seed` is the inode's, for the checksums."""
    records, depth, used = extents, 0, 0
    while len(records) > IN_INODE_MAX * RECORD_BYTES:
        above = []
        for at in range(0, len(records), _PER_BLOCK * RECORD_BYTES):
            part = records[at : at + _PER_BLOCK * RECORD_BYTES]
            place = put_block(_pack_block(part, depth, seed))
            above.append(_INDEX.pack(_RECORD.unpack_from(part)[0], place & 0xFFFFFFFF, place >> 32, 0))
        records, depth, used = b"".join(above), depth + 1, used + len(above)
    head = _HEADER.pack(_MAGIC, len(records) // RECORD_BYTES, IN_INODE_MAX, depth, 0)
    return head + records + bytes(48 - len(records)), used


def _pack_block(records: bytes, depth: int, seed: int) -> bytes:
    head = _HEADER.pack(_MAGIC, len(records) // RECORD_BYTES, _PER_BLOCK, depth, 0)
    body = (head + records).ljust(_TAIL_AT, b"\0")
    return (body + _CHECKSUM.pack(stored(extend(seed, body)))).ljust(BLOCK, b"\0")
