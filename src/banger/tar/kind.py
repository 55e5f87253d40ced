"""The kinds of files."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """The numbers are those of ext4's directory entries."""

    FILE = 1
    DIRECTORY = 2
    CHAR = 3
    BLOCK = 4
    FIFO = 5
    SOCKET = 6
    SYMLINK = 7
