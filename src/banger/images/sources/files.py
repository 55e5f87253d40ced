"""Opening what a user names. Only plain files and directories by absolute path; a pipe or device never blocks us."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from banger.errors import Error
from banger.host.fs import open_plain
from banger.images.byte_range import ByteRange
from banger.images.oci import invalid


def open_file(path: str) -> ByteRange:
    """Blocking. Raises `file_not_found`."""
    return ByteRange(_open(path, open_plain))


class Directory:
    """The files below a directory; symbolic links below it are not followed. Owns a descriptor."""

    def __init__(self, path: str) -> None:
        """Raises `file_not_found`."""
        self.name = path
        self._fd = _open(path, lambda path: os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def open(self, name: str) -> ByteRange:
        """Raises `image_invalid`."""
        *directories, last = name.split("/")
        at = os.dup(self._fd)
        try:
            for step in directories:
                at = _step(at, step)
            fd = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        except OSError as exc:
            raise invalid(f"{self.name} has no file {name[:200]!r}: {exc.strerror}") from exc
        finally:
            os.close(at)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise invalid(f"{self.name}: {name[:200]!r} is not a file")
        return ByteRange(fd)

    def close(self) -> None:
        os.close(self._fd)


def _step(at: int, name: str) -> int:
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    os.close(at)
    return inner


def _open(path: str, opened: Callable[[str], int]) -> int:
    if not path.startswith("/"):
        raise _no(path, "the path is not absolute")
    try:
        return opened(path)
    except (OSError, ValueError) as exc:  # ValueError: a NUL byte
        raise _no(path, getattr(exc, "strerror", "") or "it cannot be opened") from exc


def _no(path: str, reason: str) -> Error:
    return Error("file_not_found", f"{path[:300]!r}: {reason}", "give the absolute path of an image")
