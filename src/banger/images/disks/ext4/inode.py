"""An inode, 256 bytes: 128 as in ext2, 32 more for nanoseconds, years after 2038 and the checksum, 96 for attributes.

    0x00 mode, uid, size, atime, ctime, mtime, dtime, gid, links, blocks, flags, version
    0x28 i_block: 60 bytes, the extent tree's root, a short symbolic link's target, or a device's number
    0x64 generation, attribute block, size high, 0
    0x74 blocks high, attribute block high, uid high, gid high, checksum low, 0
    0x80 32 (bytes in use from here), checksum high, extra ctime, mtime, atime, crtime, extra crtime, version, project
    0xA0 attributes

All four times are the node's one.

Source: kernel Documentation/filesystems/ext4/inodes.rst.
"""

from __future__ import annotations

import struct

from banger.images.disks.ext4.checksum import extend, inode_seed, stored
from banger.images.disks.ext4.layout import BLOCK
from banger.images.disks.ext4.xattr import INLINE_BYTES
from banger.tar.kind import Kind

FLAG_INDEX = 0x1000
FLAG_EXTENTS = 0x80000
SECTORS_PER_BLOCK = BLOCK // 512
FORMATS = {
    Kind.FIFO: 0x1000,
    Kind.CHAR: 0x2000,
    Kind.DIRECTORY: 0x4000,
    Kind.BLOCK: 0x6000,
    Kind.FILE: 0x8000,
    Kind.SYMLINK: 0xA000,
    Kind.SOCKET: 0xC000,
}
_INODE = struct.Struct("<HHIIIIIHHIII 60s IIII HHHHHH HHIIIIIII")
_CHECKSUM_LOW_AT, _CHECKSUM_HIGH_AT = 0x7C, 0x82
_EXTRA_BYTES = 32
_NO_ATTRIBUTES = bytes(INLINE_BYTES)
_NS = 1_000_000_000
_OLDEST_S = -(1 << 31)
# 34 bits would reach to 2446, but e2fsck takes a time after May 2310 for a misread time before 1970.
_NEWEST_S = 3 * (1 << 32) - (1 << 31) - 1


def pack_inode(
    ino: int,
    seed: int,
    mode: int,
    links: int,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    blocks: int = 0,
    flags: int = 0,
    i_block: bytes = b"",
    mtime_ns: int = 0,
    attribute_block: int = 0,
    attributes: bytes = b"",
) -> bytes:
    """The bytes of an inode. `mode` includes the format bits; `size` is in bytes; `blocks` counts all blocks that
    belong to the inode; `seed` is the file system's."""
    seconds, nanoseconds = divmod(mtime_ns, _NS)
    if not _OLDEST_S <= seconds <= _NEWEST_S:
        seconds, nanoseconds = min(max(seconds, _OLDEST_S), _NEWEST_S), 0
    time = seconds & 0xFFFFFFFF
    extra = nanoseconds << 2 | (seconds - ((time ^ 0x80000000) - 0x80000000)) >> 32
    sectors = blocks * SECTORS_PER_BLOCK
    raw = _INODE.pack(
        *(mode, uid & 0xFFFF, size & 0xFFFFFFFF, time, time, time, 0, gid & 0xFFFF, links),
        *(sectors & 0xFFFFFFFF, flags, 0, i_block, 0, attribute_block & 0xFFFFFFFF, size >> 32, 0),
        *(sectors >> 32, attribute_block >> 32, uid >> 16, gid >> 16, 0, 0),
        *(_EXTRA_BYTES, 0, extra, extra, extra, time, extra, 0, 0),
    ) + (attributes or _NO_ATTRIBUTES)
    crc = stored(extend(inode_seed(seed, ino), raw))
    return (
        raw[:_CHECKSUM_LOW_AT]
        + (crc & 0xFFFF).to_bytes(2, "little")
        + raw[_CHECKSUM_LOW_AT + 2 : _CHECKSUM_HIGH_AT]
        + (crc >> 16).to_bytes(2, "little")
        + raw[_CHECKSUM_HIGH_AT + 2 :]
    )


def device_block(major: int, minor: int) -> bytes:
    """`i_block` of a device: the old form if the numbers fit, else the new form in the second word."""
    if major < 256 and minor < 256:
        return struct.pack("<II", major << 8 | minor, 0)
    return struct.pack("<II", 0, minor & 0xFF | major << 8 | (minor & ~0xFF) << 12)
