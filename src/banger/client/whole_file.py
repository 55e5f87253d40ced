"""Files that get their names only when they are complete."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

_HOLE = 64 * 1024


def write_whole(path: str, pieces: Iterable[bytes], sparse: bool = False) -> int:
    """Write a file that only this user may read. Returns the number of bytes. An existing file at `path` stays until
    the new one is completely on the disk.

    `sparse`: zeros become holes, so that a disk takes no more space than before. A device or a pipe is written
    directly. Raises `file_not_found`, and the errors of `pieces`.
    """
    real = os.path.realpath(path)
    try:
        if os.path.exists(real) and not os.path.isfile(real):
            with open(real, "wb") as file:
                return sum(file.write(piece) for piece in pieces)
        return write_beside(real, pieces, sparse)
    except OSError as exc:
        hint = "choose a directory that you may write to, with enough free space"
        raise Error("file_not_found", f"cannot write {path}: {exc.strerror}", hint) from exc


def write_beside(path: str, pieces: Iterable[bytes], sparse: bool = False, mode: int = 0o600) -> int:
    """As `write_whole`, for a file or nothing at `path`, which is no link. `mode` are the permissions of the file.
    Raises OSError."""
    part = f"{path}.{os.urandom(4).hex()}.part"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            os.fchmod(fd, mode)
            size_bytes = sum(_write(file, piece, sparse) for piece in pieces)
            file.flush()
            os.ftruncate(fd, size_bytes)
            os.fsync(fd)
        os.replace(part, path)
        _sync_directory(os.path.dirname(path))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise
    return size_bytes


def _sync_directory(directory: str) -> None:
    """Sync the directory, so that a power failure does not lose the name. Errors are ignored: the file exists, and some
    file systems cannot sync directories."""
    with contextlib.suppress(OSError):
        fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _write(file: BinaryIO, piece: bytes, sparse: bool) -> int:
    """Write the pieces. Returns the number of bytes."""
    for begin in range(0, len(piece), _HOLE if sparse else len(piece) or 1):
        part = piece[begin : begin + _HOLE] if sparse else piece
        if sparse and not part.strip(b"\0"):
            file.seek(len(part), os.SEEK_CUR)
        else:
            file.write(part)
    return len(piece)
