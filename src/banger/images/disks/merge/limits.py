"""How much an image may use, and the account of what it has used."""

from __future__ import annotations

from dataclasses import dataclass

from banger.model.sizes import GIB, MIB, TIB
from banger.tar.failure import TooLarge


@dataclass(frozen=True)
class Limits:
    """Bounds of a whole image, all of its layers together, unless said otherwise."""

    inflated_bytes: int = 64 * GIB
    entries: int = 2_000_000
    """Directories that only longer names imply count, too."""
    metadata_bytes: int = 256 * MIB
    """Names, link targets, extended attributes and maps of sparse files, which are held in memory."""
    file_bytes: int = 16 * TIB - 4096
    """The length of one file with its holes: the most that ext4 supports."""
    header_bytes: int = MIB
    """The size of one extended header."""
    xattr_bytes: int = 64 * 1024
    """The size of one entry's extended attributes, names and values."""
    target_bytes: int = 4095
    """The target of a link: the most that Linux supports."""


class Budget:
    """What is left of the limits. One per merge; used by one thread."""

    __slots__ = ("bytes_left", "entries_left", "limits", "metadata_left")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.bytes_left = limits.inflated_bytes
        self.entries_left = limits.entries
        self.metadata_left = limits.metadata_bytes

    def spend_entry(self, metadata_bytes: int) -> None:
        self.metadata_left -= metadata_bytes
        self.spend_entries(1)
        if self.metadata_left < 0:
            raise TooLarge(f"names and attributes of more than {self.limits.metadata_bytes} bytes")

    def spend_entries(self, count: int) -> None:
        self.entries_left -= count
        if self.entries_left < 0:
            raise TooLarge(f"more than {self.limits.entries} entries")

    def spend_bytes(self, inflated_bytes: int) -> None:
        self.bytes_left -= inflated_bytes
