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
    """The name is the directory's unless given. Pure: `require_directory` looks whether it is there. Raises
    `bad_name`, `file_not_found` for what is no absolute path."""
    name, equals, path = ref.removeprefix(PREFIX).partition("=")
    if not equals or "/" in name:
        name, path = "", ref.removeprefix(PREFIX)
    directory = Path(os.path.normpath(path))
    if not path.startswith("/"):
        raise _not_a_directory(path)
    try:
        return RootfsRef(check_name(name or directory.name), directory)
    except Error as exc:
        raise Error(exc.code, exc.message, f"name the image: rootfs:NAME={directory}") from exc


def require_directory(ref: RootfsRef) -> None:
    """Raises `file_not_found`. Blocking, for as long as the file system likes."""
    if not ref.directory.is_dir():
        raise _not_a_directory(str(ref.directory))


def _not_a_directory(path: str) -> Error:
    return Error("file_not_found", f"{path!r} is not a directory", "give its absolute path: rootfs:/path")
