"""Limits of an archive and of each of its entries."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class TarLimits(Protocol):
    """The limits for a reader."""

    @property
    def entries(self) -> int:
        """Limits the extended headers, too."""
        ...

    @property
    def file_bytes(self) -> int:
        """The length of one file with its holes."""
        ...

    @property
    def header_bytes(self) -> int:
        """One extended header."""
        ...

    @property
    def xattr_bytes(self) -> int:
        """Extended attributes of one entry, names and values."""
        ...

    @property
    def target_bytes(self) -> int:
        """The target of a link."""
        ...


class Bounds(NamedTuple):
    """The limits for an archive without any others."""

    entries: int = 2_000_000
    file_bytes: int = (16 << 40) - 4096  # as ext4 has them
    header_bytes: int = 1 << 20
    xattr_bytes: int = 64 * 1024
    target_bytes: int = 4095  # as Linux has it
