"""The journal: an ordinary file (inode 8) that begins with jbd2's superblock and is otherwise empty.

Source: kernel Documentation/filesystems/ext4/journal.rst; all its numbers are big-endian.
"""

from __future__ import annotations

import struct

from banger.images.disks.ext4.extents import in_inode, pack_run
from banger.images.disks.ext4.layout import BLOCK

_MAGIC = 0xC03B3998
_SUPERBLOCK_V2 = 4
# header (magic, type, sequence) | block size, length, first block | sequence, start, errno | features | uuid | users
_SUPERBLOCK = struct.Struct(">III III III III 16s I")
# (blocks of the disk below which, blocks of the journal): what mke2fs does.
_SIZES = (
    (32768, 1024),
    (256 * 1024, 4096),
    (512 * 1024, 8192),
    (4096 * 1024, 16384),
    (8192 * 1024, 32768),
)
# mke2fs goes up to 1 GiB; up to this size four extents are enough, wherever there are heads between.
_LARGEST = 65536


def plan_journal(disk_blocks: int) -> int:
    """The number of blocks of the journal: 4 MiB below 128 MiB, 16 MiB below 1 GiB, and so on to 256 MiB."""
    return next((blocks for limit, blocks in _SIZES if disk_blocks < limit), _LARGEST)


def journal_i_block(runs: list[tuple[int, int]]) -> bytes:
    """`i_block` of a journal at these (start, blocks)."""
    extents, logical = b"", 0
    for start, count in runs:
        extents += pack_run(logical, start, count)
        logical += count
    return in_inode(extents)


def journal_backup(runs: list[tuple[int, int]]) -> bytes:
    """The copy of parts of the journal's inode in the superblock: `i_block`, size high and low."""
    size = sum(count for _, count in runs) * BLOCK
    return journal_i_block(runs) + struct.pack("<II", size >> 32, size & 0xFFFFFFFF)


def pack_journal_superblock(blocks: int, uuid: bytes) -> bytes:
    """The journal's first block: nothing to replay, and transaction 1 comes first."""
    head = _SUPERBLOCK.pack(
        *(_MAGIC, _SUPERBLOCK_V2, 0),
        *(BLOCK, blocks, 1),
        *(1, 0, 0),
        *(0, 0, 0),
        *(uuid, 1),
    )
    return head.ljust(BLOCK, b"\0")
