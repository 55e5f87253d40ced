"""Extended attributes: in the inode's spare 96 bytes while they fit, the others in one block.

    inode: magic u32 | entries -> | 4 zeros ... | <- values
    block: head, 32 bytes | entries -> | 4 zeros ... | <- values

    head:  magic u32, references u32, blocks u32, hash u32, checksum u32, zeros
    entry: length of the name u8, prefix u8, offset of the value u16, 0 u32, length of the value u32, hash u32, name;
           padded to 4 bytes, as values are

Offsets count from the first entry in an inode, from the block's start in a block; a block's entries are sorted by
prefix, length and name.

Source: kernel Documentation/filesystems/ext4/attributes.rst.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

from banger.images.disks.ext4.acl import is_no_acl, store_acl
from banger.images.disks.ext4.checksum import extend, stored
from banger.images.disks.ext4.layout import BLOCK, INODE_BYTES

INLINE_BYTES = INODE_BYTES - 160
_MAGIC = 0xEA020000
_ENTRY = struct.Struct("<BBHIII")
_BLOCK_HEAD = struct.Struct("<IIIII12x")
_BLOCK_NUMBER = struct.Struct("<Q")
_CHECKSUM_AT = 16
_END_BYTES = 4
_NAME_MAX = 255
_MASK = 0xFFFFFFFF
_ACLS = {b"system.posix_acl_access": 2, b"system.posix_acl_default": 3}
_PREFIXES = {b"user": 1, b"trusted": 4, b"security": 6}


@dataclass(frozen=True, order=True, slots=True)
class _Attribute:
    """Sorts in the order of a block's entries."""

    prefix: int
    length: int
    name: bytes
    value: bytes

    @property
    def entry_bytes(self) -> int:
        return _ENTRY.size + _padded(self.length)

    @property
    def space(self) -> int:
        return self.entry_bytes + _padded(len(self.value))


@dataclass(frozen=True, slots=True)
class Split:
    """The attributes in the inode (INLINE_BYTES, or nothing), and those in the block."""

    inline: bytes
    rest: list[_Attribute]


def can_store(name: bytes) -> bool:
    """Whether ext4 has a place for an attribute of that name: user.*, trusted.*, security.* and the two ACLs."""
    prefix, _, short = name.partition(b".")
    return name in _ACLS or (prefix in _PREFIXES and 0 < len(short) <= _NAME_MAX)


def split_attributes(xattrs: dict[bytes, bytes]) -> Split:
    """Raises ValueError for attributes that cannot be stored."""
    return _split(frozenset(xattrs.items()))


@lru_cache(maxsize=1024)
def _split(xattrs: frozenset[tuple[bytes, bytes]]) -> Split:
    """Cached: where every file has a label, there are few different ones."""
    inline, rest = [], []
    room = INLINE_BYTES - 4 - _END_BYTES
    kept = (_read(name, value) for name, value in xattrs if not (name in _ACLS and is_no_acl(value)))
    for attribute in sorted(kept):
        if attribute.space <= room:
            inline.append(attribute)
            room -= attribute.space
        else:
            rest.append(attribute)
    if sum(a.space for a in rest) > BLOCK - _BLOCK_HEAD.size - _END_BYTES:
        raise ValueError(
            f"extended attributes of {sum(len(value) for _, value in xattrs)} bytes do not fit into a block"
        )
    packed = (
        _MAGIC.to_bytes(4, "little") + _pack(inline, INLINE_BYTES - 4, 0, hashed=False) if inline else b""
    )
    return Split(packed, rest)


def pack_block(attributes: list[_Attribute], seed: int, block: int) -> bytes:
    """The block with these attributes, for one inode, at its place. `seed` is the file system's."""
    body = _pack(attributes, BLOCK - _BLOCK_HEAD.size, _BLOCK_HEAD.size, hashed=True)
    total = 0
    for attribute in attributes:
        total = _rotate(total, 16) ^ _hash(attribute)
    content = bytearray(_BLOCK_HEAD.pack(_MAGIC, 1, 1, total, 0) + body)
    crc = stored(extend(extend(seed, _BLOCK_NUMBER.pack(block)), bytes(content)))
    content[_CHECKSUM_AT : _CHECKSUM_AT + 4] = crc.to_bytes(4, "little")
    return bytes(content)


def _read(name: bytes, value: bytes) -> _Attribute:
    if not can_store(name):
        raise ValueError(f"ext4 has no place for an extended attribute {name!r}")
    if name not in _ACLS:
        prefix, _, short = name.partition(b".")
        return _Attribute(_PREFIXES[prefix], len(short), short, value)
    acl = store_acl(value)
    if acl is None:
        raise ValueError(f"{name!r} is not a list as setxattr(2) takes it")
    return _Attribute(_ACLS[name], 0, b"", acl)


def _pack(attributes: list[_Attribute], size: int, offset: int, hashed: bool) -> bytes:
    """Entries from the front, values from the back of `size` bytes."""
    entries, values, end = [], [], size
    for attribute in attributes:
        end -= _padded(len(attribute.value))
        at = end + offset if attribute.value else 0
        entries.append(
            _ENTRY.pack(
                *(attribute.length, attribute.prefix, at, 0, len(attribute.value)),
                _hash(attribute) if hashed else 0,
            )
            + attribute.name.ljust(_padded(attribute.length), b"\0")
        )
        values.append(attribute.value.ljust(_padded(len(attribute.value)), b"\0"))
    return b"".join(entries).ljust(end, b"\0") + b"".join(reversed(values))


def _hash(attribute: _Attribute) -> int:
    """The hash of name and value, as the kernel computes it."""
    total = 0
    for byte in attribute.name:
        total = _rotate(total, 5) ^ byte
    padded = attribute.value.ljust(_padded(len(attribute.value)), b"\0")
    for (word,) in struct.iter_unpack("<I", padded):
        total = _rotate(total, 16) ^ word
    return total


def _rotate(value: int, left: int) -> int:
    return (value << left | value >> (32 - left)) & _MASK


def _padded(length: int) -> int:
    return (length + 3) & -4
