"""How large the disk is and where bitmaps, inode tables and journal go. Pure.

They follow what was streamed, each at the first place where it fits between two heads:

    ... directories | block bitmaps | inode bitmaps | inode tables | resize block | journal | free
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from banger.errors import Error
from banger.images.disks.ext4.journal import plan_journal
from banger.images.disks.ext4.layout import (
    BLOCK,
    BLOCKS_PER_GROUP,
    DESCRIPTORS_PER_BLOCK,
    GROUP_BYTES,
    INODES_PER_BLOCK,
    INODES_PER_GROUP_MAX,
    Heads,
    group_has_head,
)
from banger.model.sizes import MIB, format_size

HEADROOM_BYTES = 64 * MIB
_STEP_BLOCKS = 4 * MIB // BLOCK
_BYTES_PER_INODE = 16384
_SPARE_INODES = 1024
# A last group that is smaller than this, without its head, is left out, as mke2fs does.
_LAST_GROUP_MIN = 50


@dataclass(frozen=True)
class Plan:
    """Places are block numbers. `end` is the first block after everything; the disk fits if it is at least that
    large."""

    blocks: int
    groups: int
    inodes_per_group: int
    block_bitmaps: list[int]
    inode_bitmaps: list[int]
    tables: list[int]
    resize_block: int
    journal: list[tuple[int, int]]
    end: int
    heads: Heads

    @property
    def inodes(self) -> int:
        return self.groups * self.inodes_per_group

    @property
    def table_blocks(self) -> int:
        """Blocks of one group's inode table."""
        return self.inodes_per_group // INODES_PER_BLOCK

    @property
    def descriptor_blocks(self) -> int:
        return -(-self.groups // DESCRIPTORS_PER_BLOCK)

    @property
    def reserved_blocks(self) -> int:
        """Blocks in each head for the descriptors of groups that growing adds."""
        return self.heads.table_blocks - self.descriptor_blocks

    @property
    def head_groups(self) -> list[int]:
        return [group for group in range(self.groups) if group_has_head(group)]

    @property
    def journal_blocks(self) -> int:
        return sum(count for _, count in self.journal)

    @property
    def overhead_blocks(self) -> int:
        """Blocks that no file can ever have: heads, bitmaps, inode tables, journal."""
        heads = self.heads.blocks * len(self.head_groups)
        return heads + self.groups * (2 + self.table_blocks) + self.journal_blocks

    def runs(self) -> Iterator[tuple[int, int]]:
        """The (start, blocks) of everything that is placed here."""
        for block in (*self.block_bitmaps, *self.inode_bitmaps):
            yield block, 1
        if self.reserved_blocks:
            yield self.resize_block, 1
        for table in self.tables:
            yield table, self.table_blocks
        yield from self.journal

    def group_blocks(self, group: int) -> int:
        """Blocks of a group. Only the last group may be shorter than the others."""
        return min(BLOCKS_PER_GROUP, self.blocks - group * BLOCKS_PER_GROUP)

    @property
    def fits(self) -> bool:
        return self.end <= self.blocks


def plan_disk(
    streamed: int, content: int, inodes: int, heads: Heads, size_bytes: int | None, headroom_bytes: int | None
) -> Plan:
    """`streamed`: the first block after everything streamed; `content`: the used blocks before it; `inodes`: how many
    are used. With `size_bytes` the disk has exactly that size; otherwise `headroom_bytes` more than it uses (by default
    a quarter of the content and 64 MiB). Raises `bad_size`."""
    if size_bytes is not None:
        return _plan_exactly(streamed, inodes, heads, size_bytes)
    if headroom_bytes is None:
        headroom_bytes = content * BLOCK // 4 + HEADROOM_BYTES
    least = _plan_least(streamed, inodes, heads)
    wanted = least.end - (streamed - content) + -(-headroom_bytes // BLOCK)
    blocks = max(least.blocks, -(-wanted // _STEP_BLOCKS) * _STEP_BLOCKS)
    return _plan_least(streamed, inodes, heads, blocks)


def _plan_exactly(streamed: int, inodes: int, heads: Heads, size_bytes: int) -> Plan:
    if size_bytes > heads.groups_max * GROUP_BYTES:
        text = f"a disk of {format_size(size_bytes)} is larger than it was laid out to become"
        raise Error("bad_size", text, f"at most {format_size(heads.groups_max * GROUP_BYTES)} are allowed")
    plan = _plan(streamed, inodes, heads, max(1, size_bytes // BLOCK))
    if plan.fits:
        return plan
    least_bytes = _plan_least(streamed, inodes, heads).blocks * BLOCK
    raise Error(
        "bad_size",
        f"{format_size(size_bytes)} is too small for this image: it needs at least {least_bytes} bytes "
        f"({format_size(least_bytes)})",
        "ask for a larger disk, or leave out the size",
        {"least_bytes": least_bytes},
    )


def _plan_least(streamed: int, inodes: int, heads: Heads, blocks: int = 1) -> Plan:
    """The smallest disk of at least `blocks` that holds everything. A larger disk needs more itself, so sizes are
    tried.

    A larger disk may also need less: with more groups, the same inodes may need fewer blocks of tables. So every number
    of groups is tried.
    """
    blocks = max(blocks, streamed)
    while blocks <= heads.groups_max * BLOCKS_PER_GROUP:
        plan = _plan(streamed, inodes, heads, blocks)
        if plan.fits:
            return plan
        another = _another_group(plan.groups, heads)
        is_cut = plan.blocks < blocks  # its last group would have been too small
        blocks = another if is_cut else max(blocks + 1, min(plan.end, another))
    raise Error("bad_size", "the image does not fit into the largest disk it was laid out for")


def _another_group(groups: int, heads: Heads) -> int:
    """The least size, in blocks, at which a disk has one more group."""
    return groups * BLOCKS_PER_GROUP + _least_group(groups, heads)


def _least_group(group: int, heads: Heads) -> int:
    return _LAST_GROUP_MIN + (heads.blocks if group_has_head(group) else 0)


def _plan(streamed: int, inodes: int, heads: Heads, blocks: int) -> Plan:
    groups, rest = divmod(blocks, BLOCKS_PER_GROUP)
    if rest and (not groups or rest >= _least_group(groups, heads)):
        groups += 1
    else:
        blocks -= rest
    per_group = _inodes_per_group(inodes, groups)
    places = _Places(streamed, heads)
    bitmaps = [start + i for start, count in places.take_runs(2 * groups) for i in range(count)]
    tables = [places.take(per_group // INODES_PER_BLOCK) for _ in range(groups)]
    resize_block = places.take(1)
    journal = places.take_runs(plan_journal(blocks))
    enough = groups * per_group >= inodes
    end = places.following if enough else max(places.following, _another_group(groups, heads))
    return Plan(
        blocks,
        groups,
        per_group,
        bitmaps[:groups],
        bitmaps[groups:],
        tables,
        resize_block,
        journal,
        end,
        heads,
    )


def _inodes_per_group(inodes: int, groups: int) -> int:
    """A quarter more inodes than are used and a thousand, and at least one per 16 KiB of a whole group, since groups
    that growing adds have as many. A multiple of the inodes in a block."""
    spread = (inodes + inodes // 4 + _SPARE_INODES) / (groups * INODES_PER_BLOCK)
    return min(
        max(math.ceil(spread) * INODES_PER_BLOCK, GROUP_BYTES // _BYTES_PER_INODE), INODES_PER_GROUP_MAX
    )


class _Places:
    """Places for blocks, from a first block on, between the heads."""

    def __init__(self, following: int, heads: Heads) -> None:
        self.following = following
        self._heads = heads

    def take(self, count: int) -> int:
        """Take consecutive blocks. Returns the first one."""
        start = self._heads.place(self.following, count)
        self.following = start + count
        return start

    def take_runs(self, count: int) -> list[tuple[int, int]]:
        """Take `count` blocks in as many runs as necessary. Returns the (start, count) of each."""
        runs = []
        while count:
            start = self._heads.skip(self.following)
            length = min(count, self._heads.next_start(start) - start)
            runs.append((start, length))
            self.following, count = start + length, count - length
        return runs
