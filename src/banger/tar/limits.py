"""How much one entry of an archive may ask for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TarLimits:
    """Bounds of one archive and of each of its entries."""

    entries: int = 2_000_000
    file_bytes: int = (16 << 40) - 4096
    """The length of one file with its holes: ext4 has no longer ones."""
    header_bytes: int = 1 << 20
    """One extended header."""
    xattr_bytes: int = 64 * 1024
    """Extended attributes of one entry, names and values."""
    target_bytes: int = 4095
    """What a link is to."""
