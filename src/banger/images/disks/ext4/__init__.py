"""The ext4 writer: a tree of files becomes a file system in one pass, without mounting, root or other programs."""

from banger.images.disks.ext4.writer import DiskInfo, Ext4Writer
from banger.images.disks.ext4.xattr import can_store

__all__ = ["DiskInfo", "Ext4Writer", "can_store"]
