"""How much an archive and each of its entries may ask for."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class TarLimits(Protocol):
    """What a reader goes by."""

    @property
    def entries(self) -> int:
        """Bounds the extended headers."""
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
        """What a link is to."""
        ...


class Bounds(NamedTuple):
    """Those of an archive that stands for itself."""

    entries: int = 2_000_000
    file_bytes: int = (16 << 40) - 4096  # as ext4 has them
    header_bytes: int = 1 << 20
    xattr_bytes: int = 64 * 1024
    target_bytes: int = 4095  # as Linux has it
