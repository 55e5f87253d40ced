"""The resize inode (7): it owns the blocks that heads keep for descriptors to come.

Its double-indirect block lists, each at its own position, the reserved blocks of the first head. Each of those in
turn lists the blocks at the same place in the other heads. The kernel checks this before it grows a mounted disk.

Source: kernel fs/ext4/resize.c (what `reserve_backup_gdb` and `add_new_gdb` expect).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from banger.images.disks.ext4.layout import BLOCK, BLOCKS_PER_GROUP
from banger.images.disks.ext4.plan import Plan

_PER_BLOCK = BLOCK // 4
_DIRECT = 12
_DOUBLE_INDIRECT_AT = 4 * (_DIRECT + 1)
# As if all blocks existed that 12 direct, one indirect and one double-indirect pointers can name.
SIZE_BYTES = (_DIRECT + _PER_BLOCK + _PER_BLOCK * _PER_BLOCK) * BLOCK


def resize_i_block(plan: Plan) -> bytes:
    return (bytes(_DOUBLE_INDIRECT_AT) + struct.pack("<I", plan.resize_block)).ljust(60, b"\0")


def resize_blocks(plan: Plan) -> int:
    """How many blocks the inode owns."""
    return 1 + plan.reserved_blocks * len(plan.head_groups)


def resize_contents(plan: Plan) -> Iterator[tuple[int, bytes]]:
    """The (block, content) to write, without blocks of zeros. Empty if nothing is reserved."""
    if not plan.reserved_blocks:
        return
    first = 1 + plan.descriptor_blocks
    reserved = range(first, first + plan.reserved_blocks)
    listed = bytearray(BLOCK)
    for block in reserved:
        struct.pack_into("<I", listed, 4 * ((block - 1) % _PER_BLOCK), block)
    yield plan.resize_block, bytes(listed)
    copies = plan.head_groups[1:]
    if copies:
        for block in reserved:
            places = [group * BLOCKS_PER_GROUP + block for group in copies]
            yield block, struct.pack(f"<{len(places)}I", *places).ljust(BLOCK, b"\0")
