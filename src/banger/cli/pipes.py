"""Our stdin, stdout and stderr, read and written without ever blocking.

The flag O_NONBLOCK belongs to an open file, which we share with the shell and others, so it is not set there. Pipes and
terminals are opened again through /proc, which makes an open file of our own.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque

READ_SIZE = 64 * 1024
_SAFE_PIECE = 4096
_WHOLE = 1 << 30


class Sink:
    """A destination of output. Keeps bytes that could not be written yet in `pending`."""

    def __init__(self, fd: int) -> None:
        self._given = fd
        self._fd, self._piece = _open_own(fd, os.O_WRONLY)
        self._pending: deque[memoryview] = deque()

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd != self._given:
            os.close(self._fd)

    def fileno(self) -> int:
        return self._fd

    @property
    def pending(self) -> bool:
        return bool(self._pending)

    def write(self, data: memoryview) -> None:
        """Write as much as possible without blocking, and keep the rest. Raises BrokenPipeError if the reader is
        gone."""
        if len(data):
            self._pending.append(data)
        if len(self._pending) == 1 and self._piece == _WHOLE:
            self.flush()

    def flush(self) -> None:
        while self._pending and self._write_once():
            pass

    def drop(self) -> None:
        """Forget pending bytes."""
        self._pending.clear()

    def _write_once(self) -> bool:
        data = self._pending[0]
        try:
            written = os.write(self._fd, data[: self._piece])
        except BlockingIOError:
            return False
        except OSError as exc:
            if exc.errno == errno.EIO:
                raise BrokenPipeError from exc
            raise
        self._pending.popleft()
        if written < len(data):
            self._pending.appendleft(data[written:])
        return self._piece == _WHOLE


class Source:
    """A source of input; `ended` is true after its end."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.ended = False

    def fileno(self) -> int:
        return self._fd

    def read(self, limit: int) -> bytes:
        """At most `limit` bytes, after poll reported some; empty at the end."""
        try:
            data = os.read(self._fd, min(limit, READ_SIZE))
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        self.ended = not data
        return data


def ensure_standard_files() -> None:
    """Open fds 0, 1 and 2 if they are closed, so that no socket of ours becomes the stdout of a program."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _open_own(fd: int, mode: int) -> tuple[int, int]:
    """A descriptor that does not block, and how many bytes to write to it at a time.

    A regular file never blocks. A file that cannot be opened again is written in pieces that a pipe accepts whole after
    poll reported space.
    """
    kind = os.fstat(fd).st_mode
    if stat.S_ISREG(kind):
        return fd, _WHOLE
    if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):
        try:
            flags = mode | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            return os.open(f"/proc/self/fd/{fd}", flags), _WHOLE
        except OSError:
            pass
    return fd, _SAFE_PIECE
