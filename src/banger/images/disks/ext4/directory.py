"""Directories: blocks of entries, with a checksum at each block's end, and an index when there is more than one.

    entry: inode u32, length of the entry u16, length of the name u8, kind u8, name, padding to 4 bytes
    the last entry of a block reaches to the tail (12 bytes): an entry without inode and name, kind 0xDE, checksum

A directory of one block is plain. A larger one is sorted by the hash of the names. Its first block is the root of
an index that says at which hash each of the other blocks begins:

    root:  "."  ".." (to the end)  { 0 u32, hash version u8, 8 u8, levels u8, 0 u8 }  index
    node:  an entry without inode over the whole block                                 index
    index: room u16, count u16, first block u32, then { hash u32, block u32 }; at the block's end { 0 u32, checksum }

Source: kernel Documentation/filesystems/ext4/directory.rst.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from itertools import chain

from banger.images.disks.ext4.checksum import extend, stored
from banger.images.disks.ext4.layout import BLOCK
from banger.images.disks.ext4.namehash import hash_names
from banger.images.disks.tree import Node
from banger.tar.kind import Kind

HASH_VERSION = 1  # half MD4; with the superblock's flag "unsigned" the kernel reads it as 4

_HEAD = struct.Struct("<IHBB")
_TAIL_BYTES = 12
_USABLE = BLOCK - _TAIL_BYTES
_TAIL = struct.Struct("<IHBBI")
_TAIL_KIND = 0xDE
_PADDING = [b"", b"\0\0\0", b"\0\0", b"\0"]  # by length modulo 4

_COUNTS = struct.Struct("<HHI")
_INDEX = struct.Struct("<II")
_INDEX_TAIL = struct.Struct("<II")
_ROOT_AT, _NODE_AT = 32, 8
_ROOT_ROOM = (BLOCK - _ROOT_AT - 8) // 8
_NODE_ROOM = (BLOCK - _NODE_AT - 8) // 8
# The bytes used in each block of a new index: a few added names must not split the block at once.
_FILL = _USABLE * 4 // 5
_NAMES_PER_HASHING = 8192
_BUCKETS = 64
_BUCKET_SHIFT = 58


class Directory:
    """One directory on its way to the disk."""

    def __init__(self, node: Node, parent_ino: int, names: list[bytes], seed: int, hash_seed: bytes) -> None:
        """`names` are the children's, in order; all have their inode numbers. `seed` is the inode's, for the
        checksums."""
        self._ino = node.ino
        self._parent_ino = parent_ino
        self._children = node.children
        self._names = names
        self._seed = seed
        self._hash_seed = hash_seed

    def blocks(self) -> tuple[bool, Iterator[bytes]]:
        """Whether the directory is indexed, and its blocks."""
        if 24 + sum([(len(name) + 11) & -4 for name in self._names]) > _USABLE:
            keys, starts = self._plan_leaves()
            if len(starts) <= _ROOT_ROOM * _NODE_ROOM:
                return True, chain(self._index(keys, starts), self._leaves(keys, starts))
        return False, self._plain()

    def _plain(self) -> Iterator[bytes]:
        """Blocks of entries one after another, "." and ".." first."""
        parts = self._dots()
        used = sum(map(len, parts))
        for name in self._names:
            entry = self._pack(name)
            if used + len(entry) > _USABLE:
                yield self._close(parts, used)
                parts, used = [], 0
            parts.append(entry)
            used += len(entry)
        yield self._close(parts, used)

    def _dots(self) -> list[bytes]:
        """The entries "." and "..", 12 bytes each."""
        return [_pack(self._ino, Kind.DIRECTORY, b"."), _pack(self._parent_ino, Kind.DIRECTORY, b"..")]

    def _pack(self, name: bytes) -> bytes:
        child = self._children[name]
        return _pack(child.ino, child.kind, name)

    def _close(self, parts: list[bytes], used: int) -> bytes:
        """A block with these entries; the last one is made longer to fill it."""
        parts[-1] = _longer(parts[-1], _USABLE - used)
        body = b"".join(parts).ljust(_USABLE, b"\0")
        return body + _TAIL.pack(0, _TAIL_BYTES, 0, _TAIL_KIND, stored(extend(self._seed, body)))

    def _plan_leaves(self) -> tuple[array[int], list[int]]:
        """The sorted `major << 32 | position of the name`, and the positions in that where each leaf starts."""
        keys = self._sort()
        starts, used = [0], 0
        for i, key in enumerate(keys):
            size = (len(self._names[key & 0xFFFFFFFF]) + 11) & -4
            if used + size > _FILL:
                starts.append(i)
                used = 0
            used += size
        return keys, starts

    def _sort(self) -> array[int]:
        """Sort bucket by bucket: a million integers in one list would take 40 MB."""
        buckets = [array("Q") for _ in range(_BUCKETS)]
        for at in range(0, len(self._names), _NAMES_PER_HASHING):
            hashes = hash_names(self._names[at : at + _NAMES_PER_HASHING], self._hash_seed)
            for position, value in enumerate(hashes, at):
                buckets[value >> _BUCKET_SHIFT].append(value >> 32 << 32 | position)
        keys = array("Q")
        while buckets:
            keys.extend(sorted(buckets.pop(0)))
        return keys

    def _leaves(self, keys: array[int], starts: list[int]) -> Iterator[bytes]:
        for start, end in zip(starts, [*starts[1:], len(keys)], strict=True):
            parts = [self._pack(self._names[key & 0xFFFFFFFF]) for key in keys[start:end]]
            yield self._close(parts, sum(map(len, parts)))

    def _index(self, keys: array[int], starts: list[int]) -> Iterator[bytes]:
        """The root, and below it nodes if one block cannot name all leaves."""
        hashes = [_boundary(keys, start) for start in starts]
        nodes = 0 if len(starts) <= _ROOT_ROOM else -(-len(starts) // _NODE_ROOM)
        leaves = list(zip(hashes, range(1 + nodes, 1 + nodes + len(starts)), strict=True))
        if not nodes:
            yield self._root(leaves, 0)
            return
        groups = [leaves[at : at + _NODE_ROOM] for at in range(0, len(leaves), _NODE_ROOM)]
        yield self._root([(group[0][0], 1 + i) for i, group in enumerate(groups)], 1)
        for group in groups:
            yield self._seal(_HEAD.pack(0, BLOCK, 0, 0), group, _NODE_ROOM)

    def _root(self, index: list[tuple[int, int]], levels: int) -> bytes:
        dot, up = self._dots()
        return self._seal(
            dot + _longer(up, BLOCK - 24) + bytes((0, 0, 0, 0, HASH_VERSION, 8, levels, 0)), index, _ROOT_ROOM
        )

    def _seal(self, head: bytes, index: list[tuple[int, int]], room: int) -> bytes:
        """Complete an index: its first entry has no hash, but count and room. The checksum covers the used entries and
        the first half of the tail."""
        flat = array("I", [value for pair in index for value in pair]).tobytes()[8:]
        used = head + _COUNTS.pack(room, len(index), index[0][1]) + flat
        crc = extend(extend(self._seed, used), bytes(8))
        return used.ljust(BLOCK - 8, b"\0") + _INDEX_TAIL.pack(0, stored(crc))


def _boundary(keys: array[int], start: int) -> int:
    """The hash at which a leaf starts; odd if the leaf before it ends with the same hash."""
    major = keys[start] >> 32
    return major | (start > 0 and keys[start - 1] >> 32 == major)


def _pack(ino: int, kind: int, name: bytes) -> bytes:
    length = len(name)
    return _HEAD.pack(ino, (length + 11) & -4, length, kind) + name + _PADDING[length & 3]


def _longer(entry: bytes, by: int) -> bytes:
    """The entry with a length that covers `by` more bytes."""
    return entry[:4] + (int.from_bytes(entry[4:6], "little") + by).to_bytes(2, "little") + entry[6:]
