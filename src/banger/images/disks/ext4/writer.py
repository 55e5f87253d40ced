"""A tree of files → an ext4 file system, in one pass.

    writer = Ext4Writer(path, uuid=..., hash_seed=...)
    node.size = len(data); node.extents = writer.add_file(data)                      # whole in memory
    writer.begin_file(); writer.append(piece); ...; node.size, node.extents = writer.end_file()
    info = writer.finish(root, size_bytes=None)

Data goes to its final place at once. What `finish` does not find in the tree (files that a later layer replaced)
is free space. The same calls with the same arguments make the same bytes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from banger.host.fs import Spare
from banger.images.disks.ext4.bitmaps import BlockMap
from banger.images.disks.ext4.checksum import extend
from banger.images.disks.ext4.contents import Contents
from banger.images.disks.ext4.groups import GroupTable
from banger.images.disks.ext4.inode_table import InodeTables
from banger.images.disks.ext4.journal import journal_backup, pack_journal_superblock
from banger.images.disks.ext4.layout import BLOCK, BLOCK_SHIFT, GROUP_BYTES, INODE_BYTES, plan_heads
from banger.images.disks.ext4.numbering import Numbering
from banger.images.disks.ext4.plan import Plan, plan_disk
from banger.images.disks.ext4.punch import punch_holes
from banger.images.disks.ext4.resize import resize_contents
from banger.images.disks.ext4.stream import BlockStream, set_size, write_at
from banger.images.disks.ext4.superblock import FIRST_SUPERBLOCK_AT, Superblock
from banger.images.disks.tree import Node
from banger.model.sizes import TIB
from banger.tar.kind import Kind


@dataclass(frozen=True)
class DiskInfo:
    """`used_bytes` counts everything in use in the file system, including its own tables and journal."""

    size_bytes: int
    used_bytes: int
    inodes: int
    inodes_used: int


class Ext4Writer:
    """Lives for one disk; `finish` ends it. As a context manager it closes the file it opened."""

    def __init__(
        self,
        place: Path | int,
        *,
        uuid: bytes,
        hash_seed: bytes,
        grows_to_bytes: int = TIB,
        keep_free_bytes: int = 0,
        lost_and_found: bool = True,
    ) -> None:
        """`place`: a path where no file exists, or the descriptor of an empty file, which the caller still owns. `uuid`
        and `hash_seed` have 16 bytes each. A mounted disk can grow to `grows_to_bytes` (at most 8 TiB) without moving
        anything; room for that is kept before the data. `keep_free_bytes` of the host's file system stay free; if that
        is not possible, `insufficient_disk` is raised. Without `lost_and_found` the root gets none: e2fsck makes one
        when it needs it."""
        if len(uuid) != 16 or len(hash_seed) != 16:
            raise ValueError("uuid and hash_seed have 16 bytes each")
        self._owned = not isinstance(place, int)
        if isinstance(place, int):
            self._fd = place
        else:
            self._fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._lost_and_found = lost_and_found
        self._uuid = uuid
        self._hash_seed = hash_seed
        self._seed = extend(0, uuid)
        self._heads = plan_heads(grows_to_bytes)
        self._spare = Spare(self._fd, keep_free_bytes, "the root disk")
        self._stream = BlockStream(self._fd, self._heads, self._spare)
        # The methods of the stream are the interface, which saves a call for each of a hundred thousand files.
        self.add_file = self._stream.add
        self.begin_file = self._stream.begin
        self.append = self._stream.append
        self.skip_hole = self._stream.skip
        self.end_file = self._stream.end
        self.restart = self._stream.restart

    def __enter__(self) -> Ext4Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._owned and self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def finish(
        self,
        root: Node,
        *,
        size_bytes: int | None = None,
        headroom_bytes: int | None = None,
    ) -> DiskInfo:
        """Write everything that is not data. From then on the tree belongs to the writer: directories get size and
        extents, and the root a lost+found if it has none.

        `size_bytes`: the size of the disk; by default what the tree needs and `headroom_bytes` (by default a quarter of
        that and 64 MiB). Raises `bad_size` if that is too small (details: `least_bytes`), `image_build_failed` for a
        tree that ext4 cannot hold, `insufficient_disk`."""
        numbering = Numbering(root, lost_and_found=self._lost_and_found)
        try:
            contents = Contents(numbering, self._stream, self._seed, self._hash_seed)
            data_end = self._stream.next_block
            contents.write()
            used = self._map_blocks(numbering, data_end)
            plan = plan_disk(
                self._stream.next_block,
                used.marked,
                numbering.inodes_used,
                self._heads,
                size_bytes,
                headroom_bytes,
            )
            set_size(self._fd, plan.blocks * BLOCK if size_bytes is None else size_bytes)
            punch_holes(self._fd, used.free_runs(0, self._stream.next_block))
            self._spare.spend(numbering.inodes_used * INODE_BYTES)
            InodeTables(numbering, contents, plan, self._seed).write(self._fd)
            return self._write_tables(numbering, plan, used)
        finally:
            numbering.forget()

    def _map_blocks(self, numbering: Numbering, data_end: int) -> BlockMap:
        """Mark the used blocks: of the data, what the tree still names; of everything after `data_end`, all."""
        self._stream.flush()
        used = BlockMap(self._stream.next_block, self._heads)
        for node in numbering.nodes:
            if node.kind is Kind.FILE and node.extents and node not in numbering.copies:
                used.mark_extents(node.extents)
        used.mark_range(data_end, self._stream.next_block)
        used.check()
        return used

    def _write_tables(self, numbering: Numbering, plan: Plan, used: BlockMap) -> DiskInfo:
        used.extend(plan.end)
        for start, count in plan.runs():
            used.mark(start, count)
        table = GroupTable(plan, used, numbering.inodes_used, numbering.directory_inos, self._seed)
        descriptors = table.write_bitmaps(self._fd)
        for block, content in resize_contents(plan):
            write_at(self._fd, content, block << BLOCK_SHIFT)
        journal = pack_journal_superblock(plan.journal_blocks, self._uuid)
        write_at(self._fd, journal, plan.journal[0][0] << BLOCK_SHIFT)
        superblock = Superblock(
            uuid=self._uuid,
            hash_seed=self._hash_seed,
            blocks=plan.blocks,
            free_blocks=table.free_blocks,
            inodes=plan.inodes,
            free_inodes=plan.inodes - numbering.inodes_used,
            inodes_per_group=plan.inodes_per_group,
            reserved_blocks=plan.reserved_blocks,
            overhead_blocks=plan.overhead_blocks,
            journal=journal_backup(plan.journal),
        )
        self._write_heads(superblock, plan, descriptors)
        return DiskInfo(
            size_bytes=os.fstat(self._fd).st_size,
            used_bytes=(plan.blocks - table.free_blocks) * BLOCK,
            inodes=plan.inodes,
            inodes_used=numbering.inodes_used,
        )

    def _write_heads(self, superblock: Superblock, plan: Plan, descriptors: bytes) -> None:
        """Write the first head last: without it there is no file system."""
        for group in reversed(plan.head_groups):
            start = group * GROUP_BYTES
            write_at(self._fd, descriptors, start + BLOCK)
            write_at(self._fd, superblock.pack(group), start if group else FIRST_SUPERBLOCK_AT)
