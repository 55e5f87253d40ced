"""Owners of a VMM's files, when each VMM runs as a user of its own: the VMM's user owns what the VMM writes to, the
daemon owns what the VMM reads. Without such users the daemon owns all files."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def give(file: Path, user: int) -> None:
    """Make `file` belong to the user that a VMM runs as. Raises OSError."""
    if user != os.geteuid():
        os.chown(file, user, user, follow_symlinks=False)


def take_back(file: Path) -> None:
    """Make a file that no VMM writes to any more belong to the daemon, readable for all VMMs. Raises OSError."""
    if os.stat(file, follow_symlinks=False).st_uid != os.geteuid():
        os.chown(file, os.geteuid(), os.getegid(), follow_symlinks=False)
    make_readable(file)


def make_readable(file: Path) -> None:
    """Make a file readable for VMMs' users. They see the file in their jail, and not its directory. Raises OSError."""
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = stat.S_IMODE(os.fstat(fd).st_mode)
        if not mode & stat.S_IROTH:
            os.fchmod(fd, mode | stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    finally:
        os.close(fd)
