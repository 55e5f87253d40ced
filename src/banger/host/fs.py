"""Files that are either whole or not there: written under another name, synced, then renamed, and the name synced.

`publish` is the one way in which something finished gets its name; after a power failure it is there as a whole, or the
file that it replaced is. Two kinds of files go without on purpose: templates, whose sums are checked before use
(`templates.making`), and logs.
"""

from __future__ import annotations

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
    """A path beside `final` to fill (file or directory). On success it is published as `final`; on failure it is
    removed."""
    make_directory(final.parent)
    partial = final.parent / f"{PARTIAL}{final.name}-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        yield partial
        publish(partial, final)
    finally:
        discard(partial)


def publish(partial: Path, final: Path) -> None:
    """Give a finished file or directory its name, for good: all of it is on the disk before it has that name, and
    the name before we return. A file of that name is replaced; a directory, made meanwhile by somebody else, wins:
    names are by content. Raises OSError."""
    _sync_tree(partial)
    try:
        os.rename(partial, final)
    except OSError:
        if not (partial.is_dir() and final.is_dir()):
            raise
        discard(partial)
    sync_path(final.parent)


def make_directory(directory: Path, mode: int = 0o777) -> None:
    """With those above it, and their names on the disk: what is published in there must be found."""
    missing = [directory]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        if not each.exists():
            each.mkdir(mode=mode, exist_ok=True)
            sync_path(each.parent)


def _sync_tree(path: Path) -> None:
    """What is on the disk already costs next to nothing."""
    for root, _, names in os.walk(path):
        for name in names:
            file = Path(root, name)
            if not file.is_symlink():  # it is in its directory
                sync_path(file)
        sync_path(Path(root))
    if not path.is_dir():
        sync_path(path)


def sync_path(path: Path) -> None:
    """Of a file its contents, of a directory the names in it. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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
    """Remove a file or directory; gone already is fine. What can be removed is, then an OSError says why the rest
    stays."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            if os.path.lexists(path):
                raise


def remove_whole(path: Path, hint: str) -> None:
    """As `remove_tree`, of what a user is told when it stays. Raises `not_released`, with what to do about it."""
    try:
        remove_tree(path)
    except OSError as exc:
        raise Error("not_released", f"cannot remove {path}: {exc.strerror or exc}", hint) from exc


def discard(path: Path) -> bool:
    """Remove what is no use any more and has a name that is swept later; whether it is gone. What stays is said in the
    log: the failure that it is discarded for is the one to be told."""
    try:
        remove_tree(path)
    except OSError as exc:
        log.warning("%s stays: %s", path, exc)
        return False
    return True


async def remove_aside(paths: Sequence[Path]) -> list[Path]:
    """Files or directories have their names no more, at once; what they took on disk is freed in a thread. The answer
    has those of which something stays. What we leave, also when we are killed, `sweep_partials` removes."""
    aside = {path: _move_aside(path) for path in paths}
    return await in_thread(_discard_all, aside)


def _discard_all(aside: Mapping[Path, Path]) -> list[Path]:
    """The paths whose files did not go."""
    return [path for path, moved in aside.items() if not discard(moved)]


def _move_aside(path: Path) -> Path:
    """The path itself where it cannot be renamed."""
    aside = path.with_name(f"{PARTIAL}removed-{path.name[:12]}-{os.urandom(4).hex()}")
    try:
        os.rename(path, aside)
    except OSError:
        return path
    return aside


async def remove_whole_aside(path: Path, hint: str) -> None:
    """As `remove_aside`, of what a user is told when it stays. Raises `not_released`, with what to do about it."""
    if await remove_aside([path]):
        raise Error("not_released", f"cannot remove {path} (the daemon's log says why)", hint)


def sweep_partials(directory: Path) -> int:
    """Remove what a killed writer left; how many there were. Only for a directory nobody writes to now."""
    leftovers = [p for p in directory.glob(PARTIAL + "*")] if directory.is_dir() else []
    return sum(map(discard, leftovers))


def disk_usage_bytes(path: Path) -> int:
    """What a file, or everything below a directory, takes on disk (sparse files count what they hold)."""
    if not path.is_dir():
        return path.stat().st_blocks * 512
    total = 0
    for root, _, files in os.walk(path):
        for name in files:
            total += os.lstat(os.path.join(root, name)).st_blocks * 512
    return total


def open_plain(path: str | Path) -> int:
    """A descriptor to read a plain file by, also through links. Pipes and devices are an OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return fd


def read_plain(path: str | Path, limit_bytes: int = -1) -> bytes:
    """As `open_plain`; so many bytes at most."""
    with open(open_plain(path), "rb") as file:
        return file.read(limit_bytes)


def free_bytes(directory: Path) -> int:
    """What an ordinary user may still write where `directory` is (or will be)."""
    place = directory
    while not place.exists():
        place = place.parent
    info = os.statvfs(place)
    return info.f_bavail * info.f_frsize


def require_free(directory: Path, needed_bytes: int, purpose: str) -> None:
    """Raise `insufficient_disk` unless that much is free where `directory` is (or will be)."""
    free = free_bytes(directory)
    if free < needed_bytes:
        raise Error(
            "insufficient_disk",
            f"{purpose} needs {format_size(needed_bytes)}, but {directory} has {format_size(free)} free",
            "free space there, or move banger's directories (BANGER_HOME, XDG_CACHE_HOME)",
            {"needed_bytes": needed_bytes, "free_bytes": free},
        )


class Spare:
    """The space of a file system that is not to be used up by who writes to a file there. It is looked at meanwhile:
    what will be written is not always known before, and others write too."""

    def __init__(self, fd: int, keep_bytes: int, purpose: str) -> None:
        self._fd = fd
        self._keep_bytes = keep_bytes
        self._purpose = purpose
        self._unseen_bytes = 0
        """What may be written before the next look."""

    def spend(self, length: int) -> None:
        """Before `length` bytes are written. Raises `insufficient_disk`."""
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
