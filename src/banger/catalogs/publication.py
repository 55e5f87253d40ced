"""A catalog as a directory that is ready to be uploaded.

    <directory>/index.json            the entries
                index.json.minisig    its signature
                bundles/<hex>.tar.zst files, named by their SHA-256

Bundles are there before the index that names them. Bundles of older indexes stay: readers may still have such an index.
Blocking: for a thread. All users may read the files, whatever the umask.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import msgspec

from banger.catalogs.addresses import bundle_path
from banger.catalogs.builtin import NAME as BUILTIN
from banger.catalogs.index import encode_index, first_unknown, parse_index
from banger.catalogs.minisign import PublicKey, SecretKey, sign, verify
from banger.catalogs.subscription import check_times, format_moment
from banger.errors import Error
from banger.host.fs import make_directory, open_partial, open_plain, publish, read_plain
from banger.model.catalog import BundleSource, Entry, ImageEntry, Index, KernelEntry

INDEX, SIGNATURE = "index.json", "index.json.minisig"
_CHUNK_BYTES = 1 << 20
Count = Callable[[int], None]


class Publication:
    """The directory of one catalog. Without a `key`, the index is written without a signature."""

    def __init__(self, directory: Path, key: SecretKey | None, name: str = "") -> None:
        self.directory = directory
        self._key = key
        self._name = name

    def prepare(self) -> Path:
        """Make the directory for bundles, and return it. Raises `file_not_found`."""
        bundles = self.directory / "bundles"
        try:
            for place in (self.directory, bundles):
                if not place.is_dir():
                    make_directory(place)
                    place.chmod(0o755)
        except OSError as exc:
            raise Error("file_not_found", f"cannot create {bundles}: {exc.strerror}") from exc
        return bundles

    def read(self) -> Index | None:
        """The index in the directory, or None. Raises `catalog_invalid`; `catalog_untrusted` if another key signed it,
        since this key must not sign what a stranger wrote; `unsupported` if a newer banger wrote it."""
        try:
            data = read_plain(self.directory / INDEX)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise Error("file_not_found", f"cannot read {exc.filename}: {exc.strerror}") from exc
        if self._key is not None and (self.directory / SIGNATURE).exists():
            verify(self._key.public, data, read_plain(self.directory / SIGNATURE))
        index = parse_index(data)
        if unknown := first_unknown(data, index):
            raise Error(
                "unsupported",
                f"the index there has fields that this banger does not know: {unknown[:200]}",
                "use a newer banger",
            )
        return index

    def take_bundle(self, packed: Path) -> BundleSource:
        """Give a bundle its final name. `packed` lies in the directory for bundles already."""
        with open(packed, "rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        packed.chmod(0o644)
        final = self.directory / bundle_path(digest)
        publish(packed, final)
        return BundleSource(digest=digest, size_bytes=final.stat().st_size)

    def add(self, entry: ImageEntry | KernelEntry, now: float, expires_s: float) -> Index:
        """Write the next version of the index, with `entry` in place of an entry with the same name and architecture.
        Calls for one directory wait for each other, so that no two indexes have the same version. Raises as `read`, and
        `bad_name`."""
        self.prepare()
        with _locked(self.directory):
            return self._add(entry, now, expires_s)

    def _add(self, entry: ImageEntry | KernelEntry, now: float, expires_s: float) -> Index:
        before = self.begin(now)
        images, kernels = before.images, before.kernels
        if isinstance(entry, ImageEntry):
            images = (*(each for each in images if not _same(each, entry)), entry)
        else:
            kernels = (*(each for each in kernels if not _same(each, entry)), entry)
        index = msgspec.structs.replace(
            before,
            version=before.version + 1,
            created=format_moment(now),
            expires=format_moment(now + expires_s),
            images=images,
            kernels=kernels,
        )
        self._write(index)
        return index

    def begin(self, now: float) -> Index:
        """The index in the directory, or an empty one with version 0. Raises as `add`."""
        present = self.read()
        if present is not None:
            return present
        if not self._name or self._name == BUILTIN:
            raise Error(
                "bad_name",
                f"{self.directory} has no index yet, so the catalog needs a name",
                "name the catalog with --catalog NAME",
            )
        return Index(name=self._name, version=0, created=format_moment(now))

    def _write(self, index: Index) -> None:
        data = encode_index(index)
        parse_index(data)  # never publish an index that readers would refuse
        comment = f"catalog {index.name} version {index.version} expires {index.expires}"
        signature = sign(self._key, data, comment) if self._key else None
        # Both are written before either of them gets its name: a full disk does not separate an index from its
        # signature.
        with _for_everybody(self.directory / INDEX, data):
            if signature is None:
                (self.directory / SIGNATURE).unlink(missing_ok=True)
            else:
                with _for_everybody(self.directory / SIGNATURE, signature):
                    pass


@contextmanager
def _for_everybody(path: Path, data: bytes) -> Iterator[None]:
    """A file that all users may read. It gets its name when the block ends without an error."""
    with open_partial(path) as partial:
        partial.write_bytes(data)
        partial.chmod(0o644)
        yield


def verify_directory(directory: Path, key: PublicKey, now: float, count: Count, stop: Event) -> Index:
    """Check a directory as a reader would: the signature, the times, and size and digest of every bundle. Raises
    `file_not_found`, `catalog_untrusted`, `catalog_expired`, `catalog_invalid`, `bundle_invalid`, `cancelled`."""
    try:
        data, signature = read_plain(directory / INDEX), read_plain(directory / SIGNATURE)
    except OSError as exc:
        raise Error(
            "file_not_found", f"{exc.filename}: {exc.strerror}", "publish an image or a kernel first"
        ) from exc
    verify(key, data, signature)
    index = parse_index(data)
    check_times(index, now)
    for source in bundles_of(index):
        _check_bundle(directory / bundle_path(source.digest), source, count, stop)
    return index


def bundles_of(index: Index) -> list[BundleSource]:
    entries: list[Entry] = [*index.images, *index.kernels]
    found = {s.digest: s for entry in entries for s in entry.sources if isinstance(s, BundleSource)}
    return list(found.values())


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Lock the directory itself: a lock file would be uploaded with the other files."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _check_bundle(path: Path, source: BundleSource, count: Count, stop: Event) -> None:
    found = hashlib.sha256()
    try:
        with open(open_plain(path), "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                if stop.is_set():
                    raise Error("cancelled", "the verification of the catalog was cancelled")
                found.update(chunk)
                count(len(chunk))
    except OSError as exc:
        raise Error("bundle_invalid", f"{path}: {exc.strerror}", "publish it again") from exc
    if path.stat().st_size != source.size_bytes or f"sha256:{found.hexdigest()}" != source.digest:
        raise Error("bundle_invalid", f"{path} is damaged", "publish it again")


def _same(one: Entry, other: Entry) -> bool:
    return (one.name, one.architecture) == (other.name, other.architecture)
