"""Power failures, as the least that a host has to keep: of a file what was synced, of a directory the names that it had
when it was synced. All else is lost: what is written afterwards, and every name that was given, moved or taken since.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

# By path below the root: contents of a file, target of a link. Directories are what is in them.
Tree = dict[str, bytes | str]
_Id = tuple[int, int]


class _Name(NamedTuple):
    id: _Id
    mode: int
    target: str


class Power:
    """What is on the disk below `root`, as it is at the beginning and as it gets with each sync; `cuts` has what would
    be left at each of them, had the power failed just then."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[_Id, bytes] = {}
        self._directories: dict[_Id, dict[str, _Name]] = {}
        self._held: list[int] = []  # an inode that is open is not used again for another file
        self.cuts: list[Tree] = []
        for directory, _, names in os.walk(root):
            for path in [Path(directory), *(Path(directory, name) for name in names)]:
                if not path.is_symlink():
                    self._hold(os.open(path, os.O_RDONLY))

    def fail(self) -> Tree:
        """What is found after a power failure now."""
        return dict(self._found(_id(self._root.stat()), ""))

    def synced(self, fd: int) -> None:
        self._hold(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY))
        self.cuts.append(self.fail())

    def close(self) -> None:
        for fd in self._held:
            os.close(fd)

    def _hold(self, fd: int) -> None:
        self._held.append(fd)
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode):
            names = {name: _name(os.path.join(f"/proc/self/fd/{fd}", name)) for name in os.listdir(fd)}
            self._directories[_id(found)] = names
        else:
            self._files[_id(found)] = os.pread(fd, found.st_size, 0)

    def _found(self, directory: _Id, path: str) -> Iterator[tuple[str, bytes | str]]:
        for name, entry in self._directories.get(directory, {}).items():
            if stat.S_ISDIR(entry.mode):
                yield from self._found(entry.id, f"{path}{name}/")
            elif stat.S_ISLNK(entry.mode):
                yield f"{path}{name}", entry.target
            else:
                yield f"{path}{name}", self._files.get(entry.id, b"")


def _name(path: str) -> _Name:
    found = os.lstat(path)
    return _Name(_id(found), found.st_mode, os.readlink(path) if stat.S_ISLNK(found.st_mode) else "")


def _id(found: os.stat_result) -> _Id:
    return found.st_dev, found.st_ino


@contextmanager
def watch_power(monkeypatch: pytest.MonkeyPatch, root: Path) -> Iterator[Power]:
    """All that is below `root` now is on the disk; from then on what is synced."""
    power = Power(root)
    with monkeypatch.context() as patch:
        fsync = os.fsync

        def spy(fd: int) -> None:
            fsync(fd)
            power.synced(fd)

        patch.setattr(os, "fsync", spy)
        try:
            yield power
        finally:
            power.close()
