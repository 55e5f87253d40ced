"""What differs between two states of a file system."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class FileChange(Struct, kw_only=True):
    """A path that was added, changed or deleted. A directory counts as changed if something in it did; what was in a
    deleted directory is not named."""

    kind: Literal["added", "changed", "deleted"]
    path: str
