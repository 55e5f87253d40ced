"""A directory of the user as an image: `rootfs:/path/to/dir`, or `rootfs:NAME=/path/to/dir`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from banger.errors import Error
from banger.model.names import check_name

PREFIX = "rootfs:"


@dataclass(frozen=True)
class RootfsRef:
    """A directory, and the name of its image."""

    name: str
    directory: Path


def parse_rootfs_ref(ref: str) -> RootfsRef:
    """Parse a reference. Without a name, the image is named like the directory. Pure: `require_directory` checks the
    directory. Raises `bad_name`, and `file_not_found` for a path that is not absolute."""
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
    """Raises `file_not_found`. Blocking, for as long as the file system takes."""
    if not ref.directory.is_dir():
        raise _not_a_directory(str(ref.directory))


def _not_a_directory(path: str) -> Error:
    return Error("file_not_found", f"{path!r} is not a directory", "give its absolute path: rootfs:/path")
