"""Files in a directory that another program may write to: the directory of a machine, whose VMM may obey its guest.

Under any name there may be a link to a file of the user, a pipe that never answers, or a second name of another file.
So these files are opened without following links and without waiting, and only plain files count.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from banger.host.fs import discard

_CHUNK = 1 << 20
# What `open` says of links, of pipes that no process reads, and of directories and sockets.
_NOT_PLAIN = {errno.ELOOP, errno.ENXIO, errno.EISDIR}


class NotPlain(OSError):
    """It is no regular file, or a file to write to has another name as well."""


def open_foreign(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file. A new file gets mode 0600. Never waits. Raises `NotPlain`, OSError."""
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        if exc.errno in _NOT_PLAIN:
            raise _not_plain(path) from exc
        raise
    found = os.fstat(fd)
    writes = flags & os.O_ACCMODE != os.O_RDONLY
    if not stat.S_ISREG(found.st_mode) or (writes and found.st_nlink > 1):
        os.close(fd)
        raise _not_plain(path)
    return fd


def open_to_write(path: Path, flags: int) -> int:
    """As `open_foreign`, for a file that only this process should write to. What is there instead of such a file is
    removed. Raises OSError."""
    try:
        return open_foreign(path, flags | os.O_CREAT)
    except NotPlain:
        discard(path)
        return open_foreign(path, flags | os.O_CREAT | os.O_EXCL)


def read_foreign(path: Path, offset: int = 0, limit_bytes: int = _CHUNK) -> bytes:
    """At most `limit_bytes` of a file; a negative `offset` counts from its end. Raises `NotPlain`, OSError."""
    with open(open_foreign(path), "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        return os.pread(file.fileno(), limit_bytes, max(0, size + offset) if offset < 0 else offset)


def foreign_size(path: Path) -> int:
    """The length of a regular file in bytes; 0 if there is no such file."""
    try:
        found = os.lstat(path)
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def copy_end(source: int, target: Path, limit_bytes: int) -> None:
    """Copy the last `limit_bytes` of an open file to `target`, in place of what is there. Raises OSError."""
    discard(target)
    position = max(0, os.fstat(source).st_size - limit_bytes)
    end = position + limit_bytes
    with open(open_foreign(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        while position < end and (chunk := os.pread(source, min(_CHUNK, end - position), position)):
            file.write(chunk)
            position += len(chunk)


def _not_plain(path: Path) -> NotPlain:
    return NotPlain(errno.EINVAL, "it is not a plain file", str(path))
