"""Where things are on the disk: constants, block groups, and the areas that data must leave out.

    | superblock | descriptors | reserved | data ... | directories ... | bitmaps, inode tables, journal | free
    |<-- head: 1 + `table_blocks` blocks -->|<-- in order of arrival -->|

The disk is cut into groups of 32,768 blocks of 4 KiB (128 MiB). Group 0 and, with sparse_super, the groups 1 and
powers of 3, 5 and 7 start with a head: a copy of the superblock, of the group descriptors, and blocks kept for more
descriptors, so that the mounted file system can grow. How many descriptors there are is known last; how large a head
is, is known first, because it only depends on the size to which the disk may grow. flex_bg lets bitmaps and inode
tables be anywhere, so all of them follow the data.

Source: kernel Documentation/filesystems/ext4/{blockgroup,group_descr,super}.rst.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

BLOCK = 4096
BLOCK_SHIFT = 12
BLOCKS_PER_GROUP = 8 * BLOCK
GROUP_BYTES = BLOCKS_PER_GROUP * BLOCK
INODE_BYTES = 256
INODES_PER_BLOCK = BLOCK // INODE_BYTES
INODES_PER_GROUP_MAX = 8 * BLOCK
DESCRIPTOR_BYTES = 64
DESCRIPTORS_PER_BLOCK = BLOCK // DESCRIPTOR_BYTES
# The most that s_reserved_gdt_blocks may be: the resize inode lists these blocks in one indirect block.
TABLE_BLOCKS_MAX = BLOCK // 4

BAD_BLOCKS_INO = 1
ROOT_INO = 2
RESIZE_INO = 7
JOURNAL_INO = 8
FIRST_INO = 11


@cache
def group_has_head(group: int) -> bool:
    """sparse_super: groups 0, 1 and the powers of 3, 5 and 7."""
    return group <= 1 or any(_is_power(group, base) for base in (3, 5, 7))


def _is_power(number: int, base: int) -> bool:
    while number % base == 0:
        number //= base
    return number == 1


@dataclass(frozen=True)
class Heads:
    """The blocks at the start of some groups that hold superblock and descriptors, and nothing else."""

    table_blocks: int

    @property
    def blocks(self) -> int:
        return 1 + self.table_blocks

    @property
    def groups_max(self) -> int:
        return self.table_blocks * DESCRIPTORS_PER_BLOCK

    def blocks_in(self, group: int) -> int:
        """How many blocks of the group belong to its head."""
        return self.blocks if group_has_head(group) else 0

    def next_start(self, block: int) -> int:
        """The first block of the next head at or after `block`."""
        group = -(-block // BLOCKS_PER_GROUP)
        while not group_has_head(group):
            group += 1
        return group * BLOCKS_PER_GROUP

    def skip(self, block: int) -> int:
        """`block`, or the end of the head that begins there."""
        group, inside = divmod(block, BLOCKS_PER_GROUP)
        if inside < self.blocks and group_has_head(group):
            return group * BLOCKS_PER_GROUP + self.blocks
        return block

    def place(self, block: int, count: int) -> int:
        """The first place, from `block` on, where `count` consecutive blocks fit between two heads."""
        start = self.skip(block)
        while self.next_start(start) < start + count:
            start = self.skip(self.next_start(start))
        return start


def plan_heads(grows_to_bytes: int) -> Heads:
    """Heads that are large enough for a disk of that size (at most 8 TiB; for a larger disk, the kernel finds other
    places)."""
    groups = -(-grows_to_bytes // GROUP_BYTES)
    return Heads(min(TABLE_BLOCKS_MAX, max(1, -(-groups // DESCRIPTORS_PER_BLOCK))))
