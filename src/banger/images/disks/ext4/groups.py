"""Group descriptors: 64 bytes a group that say where its bitmaps and inode table are, and how much is free.

    0x00 block bitmap, inode bitmap, inode table (low), free blocks, free inodes, directories, flags
    0x14 0 u32, checksums of both bitmaps (low), inodes never used, checksum
    0x20 the high halves of the same, in the same order

Source: kernel Documentation/filesystems/ext4/group_descr.rst.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable

from banger.images.disks.ext4.bitmaps import BlockMap, inode_bitmap
from banger.images.disks.ext4.checksum import extend, stored
from banger.images.disks.ext4.layout import BLOCK_SHIFT, BLOCKS_PER_GROUP
from banger.images.disks.ext4.plan import Plan
from banger.images.disks.ext4.stream import write_at

_INODES_UNINIT, _BLOCKS_UNINIT, _TABLE_ZEROED = 1, 2, 4
_DESCRIPTOR = struct.Struct("<IIIHHHHIHHHH IIIHHHHIHHI")
_CHECKSUM_AT = 0x1E
_GROUP = struct.Struct("<I")
_LOW_16, _LOW_32 = 0xFFFF, 0xFFFFFFFF


class GroupTable:
    """The descriptors of one disk. Bitmaps are written while their descriptors are made. The bitmaps of an empty group
    are not written: the kernel makes them when it first needs them.

    `inodes_used`: counted from number 1; `directories`: their numbers; `seed` is the file system's."""

    def __init__(
        self, plan: Plan, used: BlockMap, inodes_used: int, directories: Iterable[int], seed: int
    ) -> None:
        self._plan = plan
        self._used = used
        self._inodes_used = inodes_used
        self._directories = Counter((ino - 1) // plan.inodes_per_group for ino in directories)
        self._seed = seed
        self.free_blocks = 0

    def write_bitmaps(self, fd: int) -> bytes:
        """Write all bitmaps. Returns the descriptors, for the heads; sets `free_blocks`."""
        return b"".join([self._write_group(fd, group) for group in range(self._plan.groups)])

    def _write_group(self, fd: int, group: int) -> bytes:
        plan, seed = self._plan, self._seed
        flags, block_checksum, inode_checksum = _TABLE_ZEROED, 0, 0
        size = plan.group_blocks(group)
        free_blocks = size - self._used.used(group)
        self.free_blocks += free_blocks
        if plan.end <= group * BLOCKS_PER_GROUP and group < plan.groups - 1:
            flags |= _BLOCKS_UNINIT
        else:
            bitmap = self._used.bitmap(group, size)
            block_checksum = stored(extend(seed, bitmap))
            write_at(fd, bitmap, plan.block_bitmaps[group] << BLOCK_SHIFT)
        inodes = min(plan.inodes_per_group, max(0, self._inodes_used - group * plan.inodes_per_group))
        if not inodes:
            flags |= _INODES_UNINIT
        else:
            bitmap = inode_bitmap(inodes, plan.inodes_per_group)
            inode_checksum = stored(extend(seed, bitmap[: plan.inodes_per_group // 8]))
            write_at(fd, bitmap, plan.inode_bitmaps[group] << BLOCK_SHIFT)
        free_inodes = plan.inodes_per_group - inodes
        return self._pack(
            *(group, free_blocks, free_inodes, self._directories[group], flags),
            *(block_checksum, inode_checksum),
        )

    def _pack(
        self,
        group: int,
        free_blocks: int,
        free_inodes: int,
        directories: int,
        flags: int,
        block_checksum: int,
        inode_checksum: int,
    ) -> bytes:
        """Inodes are used from the front: a free inode was never used."""
        places = (
            self._plan.block_bitmaps[group],
            self._plan.inode_bitmaps[group],
            self._plan.tables[group],
        )
        counts = (free_blocks, free_inodes, directories)
        checksums = (block_checksum, inode_checksum)
        raw = _DESCRIPTOR.pack(
            *[place & _LOW_32 for place in places],
            *[count & _LOW_16 for count in counts],
            *(flags, 0),
            *[checksum & _LOW_16 for checksum in checksums],
            *(free_inodes & _LOW_16, 0),
            *[place >> 32 for place in places],
            *[count >> 16 for count in counts],
            *(free_inodes >> 16, 0),
            *[checksum >> 16 for checksum in checksums],
            0,
        )
        crc = stored(extend(extend(self._seed, _GROUP.pack(group)), raw)) & _LOW_16
        return raw[:_CHECKSUM_AT] + crc.to_bytes(2, "little") + raw[_CHECKSUM_AT + 2 :]
