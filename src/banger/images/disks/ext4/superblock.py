"""The superblock: 1,024 bytes, at byte 1,024 of the disk and at the start of the other heads.

Source: kernel Documentation/filesystems/ext4/super.rst.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from banger.images.disks.ext4.checksum import extend, stored
from banger.images.disks.ext4.layout import (
    BLOCKS_PER_GROUP,
    DESCRIPTOR_BYTES,
    FIRST_INO,
    INODE_BYTES,
    JOURNAL_INO,
)

SUPERBLOCK_BYTES = 1024
FIRST_SUPERBLOCK_AT = 1024
HAS_JOURNAL, EXT_ATTR, RESIZE_INODE, DIR_INDEX = 0x4, 0x8, 0x10, 0x20
FILETYPE, EXTENTS, BITS_64, FLEX_BG = 0x2, 0x40, 0x80, 0x200
SPARSE_SUPER, LARGE_FILE, HUGE_FILE, DIR_NLINK, EXTRA_ISIZE, METADATA_CSUM = 0x1, 0x2, 0x8, 0x20, 0x40, 0x400
_COMPAT = HAS_JOURNAL | EXT_ATTR | DIR_INDEX
_INCOMPAT = FILETYPE | EXTENTS | BITS_64 | FLEX_BG
_RO_COMPAT = SPARSE_SUPER | LARGE_FILE | HUGE_FILE | DIR_NLINK | EXTRA_ISIZE | METADATA_CSUM
_MAGIC = 0xEF53
_LOG_BLOCK = 2  # 1 KiB << 2
_NEVER = 0xFFFF
_CLEAN, _CONTINUE, _DYNAMIC, _CRC32C, _HALF_MD4 = 1, 1, 1, 1, 1
_JOURNAL_BACKUP = 1
_MOUNT_XATTR_AND_ACL = 0xC
_UNSIGNED_HASH = 2
_LOG_GROUPS_PER_FLEX = 4
_EXTRA_ISIZE_BYTES = 32
_CHECKSUM_AT = 0x3FC


@dataclass(frozen=True)
class Superblock:
    """The fields that differ between disks. `journal` is the backup of the journal's inode, 68 bytes: `i_block`, size
    high, size low."""

    uuid: bytes
    hash_seed: bytes
    blocks: int
    free_blocks: int
    inodes: int
    free_inodes: int
    inodes_per_group: int
    reserved_blocks: int
    overhead_blocks: int
    journal: bytes

    def pack(self, group: int) -> bytes:
        """The copy in a group."""
        raw = bytearray(SUPERBLOCK_BYTES)
        self._pack_counts(raw)
        self._pack_features(raw, group)
        raw[0x68:0x78] = self.uuid
        raw[0xEC:0xFC] = self.hash_seed
        raw[0x10C:0x150] = self.journal
        _put(raw, 0x248, "I", self.overhead_blocks)
        _put(raw, _CHECKSUM_AT, "I", stored(extend(0, bytes(raw[:_CHECKSUM_AT]))))
        return bytes(raw)

    def _pack_counts(self, raw: bytearray) -> None:
        _put(raw, 0x0, "II", self.inodes, self.blocks & 0xFFFFFFFF)
        _put(raw, 0xC, "II", self.free_blocks & 0xFFFFFFFF, self.free_inodes)
        _put(raw, 0x18, "II", _LOG_BLOCK, _LOG_BLOCK)
        _put(raw, 0x20, "III", BLOCKS_PER_GROUP, BLOCKS_PER_GROUP, self.inodes_per_group)
        _put(raw, 0xCE, "H", self.reserved_blocks)
        _put(raw, 0x150, "I", self.blocks >> 32)
        _put(raw, 0x158, "I", self.free_blocks >> 32)

    def _pack_features(self, raw: bytearray, group: int) -> None:
        """Times are 0, so that the same tree gives the same disk."""
        _put(raw, 0x36, "HHHH", _NEVER, _MAGIC, _CLEAN, _CONTINUE)
        _put(raw, 0x4C, "I", _DYNAMIC)
        _put(raw, 0x54, "IHH", FIRST_INO, INODE_BYTES, group)
        compat = _COMPAT | (RESIZE_INODE if self.reserved_blocks else 0)
        _put(raw, 0x5C, "III", compat, _INCOMPAT, _RO_COMPAT)
        _put(raw, 0xE0, "I", JOURNAL_INO)
        _put(raw, 0xFC, "BBHI", _HALF_MD4, _JOURNAL_BACKUP, DESCRIPTOR_BYTES, _MOUNT_XATTR_AND_ACL)
        _put(raw, 0x15C, "HHI", _EXTRA_ISIZE_BYTES, _EXTRA_ISIZE_BYTES, _UNSIGNED_HASH)
        _put(raw, 0x174, "BB", _LOG_GROUPS_PER_FLEX, _CRC32C)


def _put(raw: bytearray, at: int, layout: str, *values: int) -> None:
    struct.pack_into("<" + layout, raw, at, *values)
