"""A directory the user has, as an image: `rootfs:/path/to/dir`, or `rootfs:NAME=/path/to/dir`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from banger.errors import Error
from banger.model.names import check_name

PREFIX = "rootfs:"


@dataclass(frozen=True)
class RootfsRef:
    """Which directory, and the name its image gets."""

    name: str
    directory: Path


def parse_rootfs_ref(ref: str) -> RootfsRef:
    """The name is the directory's unless given. Raises `bad_name`, `file_not_found`."""
    name, equals, path = ref.removeprefix(PREFIX).partition("=")
    if not equals or "/" in name:
        name, path = "", ref.removeprefix(PREFIX)
    directory = Path(os.path.normpath(path))
    if not path.startswith("/") or not directory.is_dir():
        raise Error("file_not_found", f"{path!r} is not a directory", "give its absolute path: rootfs:/path")
    try:
        return RootfsRef(check_name(name or directory.name), directory)
    except Error as exc:
        raise Error(exc.code, exc.message, f"name the image: rootfs:NAME={directory}") from exc
