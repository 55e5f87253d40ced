"""Files that are either complete or absent: written under another name, synced, renamed; then their directory is
synced.

`publish` is the one function that gives a finished file its name. After a power failure the new file is there
completely, or the file that it replaced. Two kinds of files do without this on purpose: templates, whose sums are
checked before use (`templates.making`), and logs.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from banger.errors import Error
from banger.host.thread import in_thread
from banger.model.sizes import format_size

log = logging.getLogger("banger.files")

PARTIAL = ".partial-"
_LOOK_BYTES = 16 << 20


@contextmanager
def open_partial(final: Path) -> Iterator[Path]:
    """A path beside `final` for the caller to fill, as a file or a directory. It is published as `final` on success,
    and removed on failure."""
    make_directory(final.parent)
    partial = final.parent / f"{PARTIAL}{final.name}-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        yield partial
        publish(partial, final)
    finally:
        discard(partial)


def publish(partial: Path, final: Path) -> None:
    """Give a finished file or directory its name: its contents are on the disk before it has the name, and the name is
    on the disk before this returns. A file of that name is replaced. A directory of that name, made by another process
    meanwhile, stays, since names are derived from contents. Raises OSError."""
    _sync_tree(partial)
    try:
        os.rename(partial, final)
    except OSError:
        if not (partial.is_dir() and final.is_dir()):
            raise
        discard(partial)
    sync_path(final.parent)


def make_directory(directory: Path, mode: int = 0o777) -> None:
    """Make a directory and its parents, and put their names on the disk, so that what is published in it is found after
    a power failure."""
    missing = [directory]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        if not each.exists():
            each.mkdir(mode=mode, exist_ok=True)
            sync_path(each.parent)


def _sync_tree(path: Path) -> None:
    """Sync all files and directories of a tree. Contents that are on the disk already take next to no time."""
    for root, _, names in os.walk(path):
        for name in names:
            file = Path(root, name)
            if not file.is_symlink():  # the name is in its directory
                sync_path(file)
        sync_path(Path(root))
    if not path.is_dir():
        sync_path(path)


def sync_path(path: Path) -> None:
    """Sync the contents of a file, or the names in a directory. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # never waits for a pipe
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    with open_partial(path) as partial:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            file.write(data)


def remove_tree(path: Path) -> None:
    """Remove a file or directory, however deep and with whatever modes; a path that does not exist is no error. Removes
    all that can be removed, then raises the OSError that says why the rest stays."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    with contextlib.suppress(RecursionError):
        shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path):
        try:
            _flatten(path)
            shutil.rmtree(path)
        except FileNotFoundError:
            if os.path.lexists(path):
                raise


def _flatten(top: Path) -> None:
    """Make all directories of a tree ones that their owner may change, right below `top`: `shutil.rmtree` calls itself
    for each level. Raises OSError."""
    _open_up(top)
    waiting, number = [entry.path for entry in os.scandir(top) if entry.is_dir(follow_symlinks=False)], 0
    while waiting:
        directory = waiting.pop()
        _open_up(directory)
        for entry in list(os.scandir(directory)):
            if entry.is_dir(follow_symlinks=False):
                _open_up(entry.path)
                number += 1
                moved = top / f"{PARTIAL}flat-{number}"
                os.rename(entry.path, moved)
                waiting.append(str(moved))


def _open_up(directory: str | Path) -> None:
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.chmod(f"/proc/self/fd/{fd}", 0o700)
    except PermissionError:
        pass  # another user's: what can be removed nevertheless is removed
    finally:
        os.close(fd)


def remove_whole(path: Path, hint: str) -> None:
    """As `remove_tree`, for files of which a user is told when they stay. Raises `not_released` with `hint`."""
    try:
        remove_tree(path)
    except OSError as exc:
        raise Error("not_released", f"cannot remove {path}: {exc.strerror or exc}", hint) from exc


def discard(path: Path) -> bool:
    """Remove a file or directory that is of no more use and has a name that a later sweep finds. Returns whether it is
    gone. If not, the log says so: an error here would hide the failure for which the caller discards the file."""
    try:
        remove_tree(path)
    except OSError as exc:
        log.warning("%s stays: %s", path, exc)
        return False
    return True


async def remove_aside(paths: Sequence[Path]) -> list[Path]:
    """Take the names of files or directories away at once, and free their space in a thread. Returns the paths of which
    something stays. `sweep_partials` removes what stays, also after this process is killed."""
    aside = {path: _move_aside(path) for path in paths}
    return await in_thread(_discard_all, aside)


def _discard_all(aside: Mapping[Path, Path]) -> list[Path]:
    """The paths whose files could not be removed."""
    return [path for path, moved in aside.items() if not discard(moved)]


def _move_aside(path: Path) -> Path:
    """The new path, or `path` itself if it cannot be renamed."""
    aside = path.with_name(f"{PARTIAL}removed-{path.name[:12]}-{os.urandom(4).hex()}")
    try:
        os.rename(path, aside)
    except OSError:
        return path
    return aside


async def remove_whole_aside(path: Path, hint: str) -> None:
    """As `remove_aside`, for files of which a user is told when they stay. Raises `not_released` with `hint`."""
    if await remove_aside([path]):
        raise Error("not_released", f"cannot remove {path} (the daemon's log says why)", hint)


def sweep_partials(directory: Path) -> int:
    """Remove what a killed writer left. Returns how many there were. Only for a directory to which no process writes
    now."""
    leftovers = [p for p in directory.glob(PARTIAL + "*")] if directory.is_dir() else []
    return sum(map(discard, leftovers))


def disk_usage_bytes(path: Path) -> int:
    """The disk space of a file, or of everything below a directory. Holes of sparse files do not count."""
    if not path.is_dir():
        return path.stat().st_blocks * 512
    total = 0
    for root, _, files in os.walk(path):
        for name in files:
            total += os.lstat(os.path.join(root, name)).st_blocks * 512
    return total


def inode_of(path: str | Path) -> tuple[int, int]:
    """Device and inode of a file, which identify it under any path. Raises OSError."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def open_plain(path: str | Path) -> int:
    """A descriptor to read a regular file, also through symbolic links. Raises OSError for pipes and devices, too."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return fd


def read_plain(path: str | Path, limit_bytes: int = -1) -> bytes:
    """As `open_plain`: the contents, at most `limit_bytes` of them."""
    with open(open_plain(path), "rb") as file:
        return file.read(limit_bytes)


def free_bytes(directory: Path) -> int:
    """The bytes that an ordinary user may still write at `directory`, which need not exist yet."""
    place = directory
    while not place.exists():
        place = place.parent
    info = os.statvfs(place)
    return info.f_bavail * info.f_frsize


def require_free(directory: Path, needed_bytes: int, purpose: str) -> None:
    """Raise `insufficient_disk` unless `needed_bytes` are free at `directory`, which need not exist yet."""
    free = free_bytes(directory)
    if free < needed_bytes:
        raise Error(
            "insufficient_disk",
            f"{purpose} needs {format_size(needed_bytes)}, but {directory} has {format_size(free)} free",
            "free space there, or move banger's directories (BANGER_HOME, XDG_CACHE_HOME)",
            {"needed_bytes": needed_bytes, "free_bytes": free},
        )


class Spare:
    """The space of a file system that the writer of one file must leave free. It is measured again while the file is
    written: its size is not always known before, and other processes write, too."""

    def __init__(self, fd: int, keep_bytes: int, purpose: str) -> None:
        self._fd = fd
        self._keep_bytes = keep_bytes
        self._purpose = purpose
        self._unseen_bytes = 0
        """Bytes that may be written before the free space is measured again."""

    def spend(self, length: int) -> None:
        """Call this before a write of `length` bytes. Raises `insufficient_disk`."""
        self._unseen_bytes -= length
        if not self._keep_bytes or self._unseen_bytes >= 0:
            return
        info = os.fstatvfs(self._fd)
        free = info.f_bavail * info.f_frsize
        if free - length < self._keep_bytes:
            raise Error(
                "insufficient_disk",
                f"{self._purpose} would leave less than {format_size(self._keep_bytes)} of the cache's disk free",
                "free space there (banger image prune, banger image cache prune), or lower disk_reserve in config.toml",
                {"free_bytes": free, "reserve_bytes": self._keep_bytes},
            )
        self._unseen_bytes = min(_LOOK_BYTES, free - length - self._keep_bytes)
