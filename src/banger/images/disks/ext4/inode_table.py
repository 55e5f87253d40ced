"""The inode tables: the nodes in the order of their numbers, written in pieces of at most a megabyte."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from banger.images.disks.ext4.contents import FAST_LINK_MAX, Contents
from banger.images.disks.ext4.extents import RECORD_BYTES, count_blocks, in_inode
from banger.images.disks.ext4.inode import FLAG_EXTENTS, FLAG_INDEX, FORMATS, device_block, pack_inode
from banger.images.disks.ext4.journal import journal_i_block
from banger.images.disks.ext4.layout import (
    BLOCK,
    BLOCK_SHIFT,
    FIRST_INO,
    INODE_BYTES,
    JOURNAL_INO,
    RESIZE_INO,
    ROOT_INO,
)
from banger.images.disks.ext4.numbering import Numbering, refuse
from banger.images.disks.ext4.plan import Plan
from banger.images.disks.ext4.resize import SIZE_BYTES, resize_blocks, resize_i_block
from banger.images.disks.ext4.stream import write_at
from banger.images.disks.ext4.xattr import split_attributes
from banger.images.disks.tree import Node
from banger.tar.kind import Kind

_INODES_PER_WRITE = 4096
_SIZED = frozenset((Kind.FILE, Kind.DIRECTORY, Kind.SYMLINK))
_OWN_FILE_MODE = FORMATS[Kind.FILE] | 0o600


class InodeTables:
    """All inodes of one disk. To be made when everything in them is known. `seed` is the file system's."""

    def __init__(self, numbering: Numbering, contents: Contents, plan: Plan, seed: int) -> None:
        self._numbering = numbering
        self._contents = contents
        self._plan = plan
        self._seed = seed

    def write(self, fd: int) -> None:
        inodes = self._all()
        for table in self._plan.tables:
            written = 0
            while written < self._plan.inodes_per_group:
                count = min(_INODES_PER_WRITE, self._plan.inodes_per_group - written)
                piece = b"".join(islice(inodes, count))
                if not piece:
                    return
                write_at(fd, piece, (table << BLOCK_SHIFT) + written * INODE_BYTES)
                written += count

    def _all(self) -> Iterator[bytes]:
        """All inodes in the order of their numbers. Unused inodes that ext4 reserves are zeros."""
        own = {
            ROOT_INO: lambda: self._pack(self._numbering.root),
            RESIZE_INO: self._pack_resize,
            JOURNAL_INO: self._pack_journal,
        }
        for ino in range(1, FIRST_INO):
            yield own[ino]() if ino in own else bytes(INODE_BYTES)
        yield from map(self._pack, self._numbering.nodes)

    def _pack(self, node: Node) -> bytes:
        if (node.uid | node.gid) >> 32:
            raise refuse(self._numbering.root, node, f"has impossible owners {node.uid}, {node.gid}")
        flags, i_block, blocks = self._body(node)
        attributes, attribute_block = b"", 0
        if node.xattrs:
            attributes = split_attributes(node.xattrs).inline
            attribute_block = self._contents.attribute_blocks.get(node, 0)
        return pack_inode(
            node.ino,
            self._seed,
            FORMATS[node.kind] | node.mode & 0o7777,
            self._numbering.links(node),
            node.uid,
            node.gid,
            node.size if node.kind in _SIZED else 0,
            blocks + 1 if attribute_block else blocks,
            flags,
            i_block,
            node.mtime_ns,
            attribute_block,
            attributes,
        )

    def _body(self, node: Node) -> tuple[int, bytes, int]:
        """The flags, `i_block`, and number of used blocks of a node."""
        kind = node.kind
        if kind is Kind.FILE or (kind is Kind.SYMLINK and node.size > FAST_LINK_MAX):
            return FLAG_EXTENTS, *self._map(node)
        if kind is Kind.DIRECTORY:
            indexed = FLAG_INDEX if node in self._contents.indexed else 0
            return FLAG_EXTENTS | indexed, *self._map(node)
        return 0, node.target if kind is Kind.SYMLINK else self._device(node), 0

    def _map(self, node: Node) -> tuple[bytes, int]:
        """The `i_block` and number of blocks of a node with extents."""
        extents = node.extents
        if len(extents) == RECORD_BYTES:
            return in_inode(extents), extents[4] | extents[5] << 8
        data = count_blocks(extents)
        if node in self._contents.trees:
            i_block, blocks = self._contents.trees[node]
            return i_block, blocks + data
        return in_inode(extents), data

    def _device(self, node: Node) -> bytes:
        """The `i_block` of a node without blocks."""
        if node.kind not in (Kind.CHAR, Kind.BLOCK):
            return b""
        major, minor = node.device
        if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
            raise refuse(self._numbering.root, node, f"is a device with impossible numbers {major}, {minor}")
        return device_block(major, minor)

    def _pack_resize(self) -> bytes:
        if not self._plan.reserved_blocks:
            return bytes(INODE_BYTES)
        return pack_inode(
            RESIZE_INO,
            self._seed,
            _OWN_FILE_MODE,
            links=1,
            size=SIZE_BYTES,
            blocks=resize_blocks(self._plan),
            i_block=resize_i_block(self._plan),
        )

    def _pack_journal(self) -> bytes:
        return pack_inode(
            JOURNAL_INO,
            self._seed,
            _OWN_FILE_MODE,
            links=1,
            size=self._plan.journal_blocks * BLOCK,
            blocks=self._plan.journal_blocks,
            flags=FLAG_EXTENTS,
            i_block=journal_i_block(self._plan.journal),
        )
