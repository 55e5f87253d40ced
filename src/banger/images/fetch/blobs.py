"""The blobs of images, named by content, shared by all images and kept between pulls.

    <cache>/oci/blobs/sha256/<hex>   whole and verified; never written to
    <cache>/oci/partial/<hex>        a download: locked (flock) while a task works on it, else to be resumed
    <cache>/oci/trash-*              blobs that a prune has moved aside and deletes

A blob gets its name by a rename after it was verified and synced. A user of a blob keeps it open, so a prune may run at
any time: it renames `blobs`, makes the directory again and deletes the renamed one. Disks do not depend on blobs.

Everything here blocks; call it from a thread.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from banger.errors import Error
from banger.host.fs import discard, sync_path
from banger.images.fetch.byte_range import ByteRange
from banger.images.reference.reference import check_digest
from banger.model.sizes import format_size

_ALGORITHM = "sha256"
_TRASH = "trash-"
PARTIAL_KEPT_S = 7 * 86400.0
_TRIES = 100


@dataclass(frozen=True)
class Usage:
    """What the cache contains. `partial_bytes` counts unfinished downloads."""

    blobs: int
    blob_bytes: int
    partials: int
    partial_bytes: int


@dataclass(frozen=True)
class Pruned:
    """`blobs` and `freed_bytes` count unfinished downloads, too."""

    directory: str
    blobs: int
    freed_bytes: int
    dry_run: bool
    kept: tuple[str, ...] = ()
    """Paths that could not be removed."""

    def __str__(self) -> str:
        """One line for users: "freed 1.2 GiB across 47 blob(s) in /path/oci"."""
        verb = "would free" if self.dry_run else "freed"
        return f"{verb} {_spaced(self.freed_bytes)} across {self.blobs} blob(s) in {self.directory}"


class PartialBlob:
    """A download of one blob, which no other task touches until `close`. Its bytes stay for the next attempt, unless it
    is discarded or published."""

    def __init__(self, digest: str, path: Path, fd: int) -> None:
        self.digest = digest
        self.path = path
        self.fd = fd

    def __enter__(self) -> PartialBlob:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def truncate(self) -> None:
        os.ftruncate(self.fd, 0)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the lock."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class BlobStore:
    """`directory` is `<cache>/oci`; it is made when it is first needed. Several stores, in several processes, may share
    a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._blobs = directory / "blobs"
        self._partials = directory / "partial"

    def path_of(self, digest: str) -> Path:
        """The path of a blob, which need not exist. Raises `image_invalid` for a digest that is not sha256."""
        return self._blobs / _ALGORITHM / _hex(digest)

    def have(self, digest: str, size: int | None = None) -> bool:
        try:
            found = self.path_of(digest).stat().st_size
        except FileNotFoundError:
            return False
        return size is None or found == size

    def open(self, digest: str) -> ByteRange | None:
        """The blob, which stays readable even if its name is removed; None if it is not in the store."""
        try:
            return ByteRange(os.open(self.path_of(digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
        except FileNotFoundError:
            return None

    def claim(self, digest: str) -> PartialBlob | None:
        """The partial file of a blob, with the bytes of an earlier attempt. None while another task has it, and if the
        blob is complete by now."""
        path = self._partials / _hex(digest)
        self._make(self._partials)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        partial = PartialBlob(digest, path, fd)
        if not _lock(fd) or not _is_at(fd, path):
            partial.close()
        elif self.have(digest):
            partial.discard()
            partial.close()
        return partial if partial.fd >= 0 else None

    def fetched_bytes(self, digest: str) -> int:
        """How much of a blob has come that another task may be fetching."""
        try:
            return (self._partials / _hex(digest)).stat().st_size
        except FileNotFoundError:
            return 0

    def publish(self, partial: PartialBlob) -> ByteRange:
        """Give a verified partial file its name, and return the blob, open."""
        os.fsync(partial.fd)
        opened = ByteRange(os.dup(partial.fd))
        try:
            self._move(partial.path, self.path_of(partial.digest))
        except BaseException:
            opened.close()
            raise
        return opened

    def read(self, digest: str, limit_bytes: int) -> bytes | None:
        """The contents of a small blob, verified; None if it is not in the store. A damaged blob is removed."""
        found = self.open(digest)
        if found is None:
            return None
        with found:
            data = (found.readall() or b"") if found.size <= limit_bytes else b""
        if f"{_ALGORITHM}:{hashlib.sha256(data).hexdigest()}" == digest:
            return data
        self.remove(digest)
        return None

    def keep(self, digest: str, data: bytes) -> None:
        """Add a small blob, which the caller has verified. Does nothing while another task downloads it."""
        partial = self.claim(digest)
        if partial is None:
            return
        with partial:
            partial.truncate()
            os.pwrite(partial.fd, data, 0)
            self.publish(partial).close()

    def remove(self, digest: str) -> None:
        """Remove a blob that turned out to be damaged."""
        self.path_of(digest).unlink(missing_ok=True)

    def usage(self) -> Usage:
        blobs, partials = list(_files(self._blobs)), list(_files(self._partials))
        return Usage(len(blobs), sum(s for _, s in blobs), len(partials), sum(s for _, s in partials))

    def prune(self, dry_run: bool = False) -> Pruned:
        """Remove all blobs, and downloads that no pull works on. A directory that does not exist counts as empty."""
        idle = [entry for entry in _files(self._partials) if _take_idle(entry[0], remove=not dry_run)]
        places = [self._blobs] if dry_run else self._set_aside()
        found = [*idle, *(entry for place in places for entry in _files(place))]
        kept: tuple[str, ...] = ()
        if not dry_run:
            kept = tuple(str(place) for place in places if not discard(place))
            found = [entry for entry in found if not os.path.lexists(entry[0])]
        return Pruned(str(self.directory), len(found), sum(size for _, size in found), dry_run, kept)

    def sweep(self, older_than_s: float = PARTIAL_KEPT_S) -> int:
        """Remove what a killed prune left, and downloads that were not continued for `older_than_s` seconds. Returns
        how many."""
        trash = list(self.directory.glob(f"{_TRASH}*"))
        swept = sum(map(discard, trash))
        limit = time.time() - older_than_s
        stale = [path for path, _ in _files(self._partials) if _modified(path) < limit]
        return swept + sum(_take_idle(path, remove=True) for path in stale)

    def make(self) -> Path:
        """Make the directory, for files that must be on its file system, and return it."""
        self._make(self.directory)
        return self.directory

    def _set_aside(self) -> list[Path]:
        """Move all blobs away, so that no pull finds them by name. Returns their new places, and those of earlier
        prunes that did not finish."""
        trash = self.directory / f"{_TRASH}{os.getpid()}-{os.urandom(4).hex()}"
        try:
            os.rename(self._blobs, trash)
        except FileNotFoundError:
            pass
        else:
            self._make(self._blobs / _ALGORITHM)
        return list(self.directory.glob(f"{_TRASH}*"))

    def _move(self, partial: Path, final: Path) -> None:
        """Rename, and make the directory again if a prune removed it meanwhile."""
        for _ in range(_TRIES):
            try:
                self._make(final.parent)
                os.rename(partial, final)
            except FileNotFoundError:
                if not partial.exists():
                    break
            else:
                return _sync(final.parent)
        raise Error("bad_state", f"another process removed {partial} while banger wrote it", "pull again")

    def _make(self, directory: Path) -> None:
        """Make a directory for this user only: images may be private."""
        for _ in range(_TRIES):
            try:
                self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                return directory.mkdir(parents=True, exist_ok=True)
            except (FileNotFoundError, FileExistsError):
                if self.directory.exists() and not self.directory.is_dir():
                    raise
        raise Error(
            "bad_state",
            f"another process removes {directory} again and again",
            "stop the process that prunes the cache",
        )


def _sync(directory: Path) -> None:
    """Sync a directory. A directory that a prune has moved away needs no sync."""
    try:
        sync_path(directory)
    except FileNotFoundError:
        pass


def _hex(digest: str) -> str:
    return check_digest(digest).partition(":")[2]


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    """Whether `fd` is still the file at `path`: an earlier holder of the lock may have published it."""
    try:
        named = os.lstat(path)
    except FileNotFoundError:
        return False
    ours = os.fstat(fd)
    return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)


def _take_idle(path: Path, remove: bool) -> bool:
    """Whether no task works on a partial file; with `remove`, whether it was removed."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if not _lock(fd) or not _is_at(fd, path):
            return False
        return discard(path) if remove else True
    finally:
        os.close(fd)


def _files(directory: Path) -> Iterator[tuple[Path, int]]:
    """Every file below a directory, with its size in bytes. Files that disappear meanwhile are left out."""
    for root, _, names in os.walk(directory):
        for name in names:
            path = Path(root, name)
            try:
                yield path, path.lstat().st_size
            except FileNotFoundError:
                continue


def _modified(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return time.time()


def _spaced(size_bytes: int) -> str:
    text = format_size(size_bytes)
    number = text.rstrip("BiKMGT")
    return f"{number} {text[len(number) :]}"
