"""Our own stdin, stdout and stderr, read and written without ever waiting for them.

The flag O_NONBLOCK belongs to an open file, which the shell and others share with us, so it is not set
on theirs: pipes and terminals are opened once more through /proc, which makes an open file of
our own.
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
    """Where output goes. Keeps what could not be written yet in `pending`."""

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
        """Write what goes out without waiting, keep the rest. Raises BrokenPipeError when nobody reads."""
        if len(data):
            self._pending.append(data)
        if len(self._pending) == 1 and self._piece == _WHOLE:
            self.flush()

    def flush(self) -> None:
        while self._pending and self._write_once():
            pass

    def drop(self) -> None:
        """Forget what is pending."""
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
    """Where stdin comes from; `ended` after its end."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.ended = False

    def fileno(self) -> int:
        return self._fd

    def read(self, limit: int) -> bytes:
        """At most `limit` bytes, after poll said that there are some; none at its end."""
        try:
            data = os.read(self._fd, min(limit, READ_SIZE))
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        self.ended = not data
        return data


def ensure_standard_files() -> None:
    """Have fds 0, 1 and 2, so that no socket of ours ends up as somebody's stdout."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _open_own(fd: int, mode: int) -> tuple[int, int]:
    """An fd that does not block, and how much to write to it at a time.

    A regular file never blocks. What cannot be opened again is written in pieces that a pipe takes
    whole once poll said so.
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
