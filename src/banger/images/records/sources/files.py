"""Files that a user names: regular files and directories with absolute paths. A pipe or device never blocks."""

from __future__ import annotations

import os
from collections.abc import Callable

from banger.errors import Error
from banger.host.fs import open_plain
from banger.images.fetch.byte_range import ByteRange
from banger.images.reference.documents import invalid

_PROVEN = "blobs/"  # directories in which names are digests


def open_file(path: str) -> ByteRange:
    """Open a regular file. Blocking. Raises `file_not_found`."""
    return ByteRange(_open(path, open_plain))


class Directory:
    """The files below a directory. A link must lead to a file below it, too, except from the blobs: tools make layouts
    whose blobs are links to a store elsewhere, and digests verify the contents of blobs. Owns a descriptor."""

    def __init__(self, path: str) -> None:
        """Raises `file_not_found`."""
        self.name = path
        self._fd = _open(path, lambda path: os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def open(self, name: str) -> ByteRange:
        """Raises `image_invalid`."""
        try:
            fd = open_plain(f"/proc/self/fd/{self._fd}/{name}")
        except OSError as exc:
            raise invalid(f"{self.name} has no file {name[:200]!r}: {exc.strerror}") from exc
        if not name.startswith(_PROVEN) and not self._has(fd):
            os.close(fd)
            raise invalid(f"{self.name}: {name[:200]!r} is a link that leads outside")
        return ByteRange(fd)

    def _has(self, fd: int) -> bool:
        """Whether an open file is below the directory."""
        own, found = (os.readlink(f"/proc/self/fd/{each}") for each in (self._fd, fd))
        return found.startswith(own.rstrip("/") + "/")

    def close(self) -> None:
        os.close(self._fd)


def _open(path: str, opened: Callable[[str], int]) -> int:
    if not path.startswith("/"):
        raise _no(path, "the path is not absolute")
    try:
        return opened(path)
    except (OSError, ValueError) as exc:  # ValueError: a NUL byte
        raise _no(path, getattr(exc, "strerror", "") or "it cannot be opened") from exc


def _no(path: str, reason: str) -> Error:
    return Error("file_not_found", f"{path[:300]!r}: {reason}", "give the absolute path of an existing image")
