"""CRC32C as metadata_csum wants it.

ext4's checksum starts at ~0 and is not inverted at its end; the library's starts at 0 and inverts both. So values are
carried on in the library's form and inverted when stored. Everything but the superblock starts from the UUID's.

Source: kernel Documentation/filesystems/ext4/checksums.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import google_crc32c

extend: Callable[[int, bytes], int] = google_crc32c.extend

_INODE = struct.Struct("<II")
_GENERATION = 0


def stored(crc: int) -> int:
    """The 32 bits that go to the disk."""
    return crc ^ 0xFFFFFFFF


def inode_seed(seed: int, ino: int) -> int:
    """The start for the checksums of an inode, and of the blocks of a directory or extent tree: over the inode's number
    and generation."""
    return extend(seed, _INODE.pack(ino, _GENERATION))
