"""Everything of a tree that needs blocks, except the data of files: directories, targets of long links, blocks of
attributes, extent trees.

All of it is streamed after the data. `Contents` keeps what the inodes must know of it.
"""

from __future__ import annotations

from itertools import chain

from banger.images.disks.ext4.checksum import inode_seed
from banger.images.disks.ext4.directory import Directory
from banger.images.disks.ext4.extents import IN_INODE_MAX, RECORD_BYTES, build_tree
from banger.images.disks.ext4.layout import BLOCK
from banger.images.disks.ext4.numbering import Numbering, refuse
from banger.images.disks.ext4.stream import BlockStream
from banger.images.disks.ext4.xattr import pack_block, split_attributes
from banger.images.disks.tree import Node
from banger.tar.kind import Kind

# The longest target of a symbolic link that fits into the inode.
FAST_LINK_MAX = 59


class Contents:
    """Of one tree, for one disk. `seed` is the file system's.

    `attribute_blocks` where a node's attributes are that the inode has no room for
    `trees`            (`i_block`, blocks) of a node with more extents than the inode has room for
    `indexed`          the directories with an index
    """

    def __init__(self, numbering: Numbering, stream: BlockStream, seed: int, hash_seed: bytes) -> None:
        self.attribute_blocks: dict[Node, int] = {}
        self.trees: dict[Node, tuple[bytes, int]] = {}
        self.indexed: set[Node] = set()
        self._numbering = numbering
        self._stream = stream
        self._seed = seed
        self._hash_seed = hash_seed

    def write(self) -> None:
        """Number the nodes, and stream everything. Sets size and extents of directories and long links. Raises
        `image_build_failed`."""
        for node, parent_ino, names in self._numbering.directories():
            self._write_directory(node, parent_ino, names)
        for copy, original in self._numbering.copies.items():
            if original.kind is Kind.FILE:
                copy.extents = self._stream.add_copy(original.size, original.extents)
        for node in chain((self._numbering.root,), self._numbering.nodes):
            if node.kind is Kind.SYMLINK:
                self._write_target(node)
            if node.xattrs:
                self._write_attributes(node, node.xattrs)
            if len(node.extents) > IN_INODE_MAX * RECORD_BYTES:
                self.trees[node] = build_tree(
                    node.extents, inode_seed(self._seed, node.ino), self._stream.add_block
                )

    def _write_directory(self, node: Node, parent_ino: int, names: list[bytes]) -> None:
        seed = inode_seed(self._seed, node.ino)
        indexed, blocks = Directory(node, parent_ino, names, seed, self._hash_seed).blocks()
        if indexed:
            self.indexed.add(node)
        self._stream.begin()
        for block in blocks:
            self._stream.append(block)
        node.size, node.extents = self._stream.end()

    def _write_target(self, node: Node) -> None:
        length = len(node.target)
        if not 0 < length < BLOCK or b"\0" in node.target:
            raise refuse(
                self._numbering.root,
                node,
                f"is a symbolic link whose target of {length} bytes cannot be a path",
            )
        node.size = length
        node.extents = self._stream.add(node.target) if length > FAST_LINK_MAX else b""

    def _write_attributes(self, node: Node, xattrs: dict[bytes, bytes]) -> None:
        try:
            rest = split_attributes(xattrs).rest
        except ValueError as exc:
            raise refuse(
                self._numbering.root, node, f"has an attribute that ext4 cannot store: {exc}"
            ) from exc
        if rest:
            place = self._stream.next_block
            block = pack_block(rest, self._seed, place)
            if self._stream.add_block(block) != place:
                raise AssertionError("the stream did not go on where it said")
            self.attribute_blocks[node] = place
