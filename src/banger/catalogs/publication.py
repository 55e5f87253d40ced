"""A catalog as a directory that is ready to be uploaded.

    <directory>/index.json            what there is
                index.json.minisig    its signature
                bundles/<hex>.tar.zst files, named by their SHA-256

Bundles are there before the index that names them. What an older index named stays: readers may still have that.
Blocking: for a thread. Files are for everybody to read, whatever the umask.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event

import msgspec

from banger.catalogs.builtin import NAME as BUILTIN
from banger.catalogs.index import encode_index, parse_index
from banger.catalogs.minisign import PublicKey, SecretKey, sign, verify
from banger.catalogs.shelf import bundle_path
from banger.catalogs.subscription import check_times, format_moment
from banger.errors import Error
from banger.host.fs import sync_path, write_file
from banger.model.catalog import BundleSource, Entry, ImageEntry, Index, KernelEntry

INDEX, SIGNATURE = "index.json", "index.json.minisig"
_CHUNK_BYTES = 1 << 20
Count = Callable[[int], None]


class Publication:
    """One directory. `key` None: the index is written without a signature."""

    def __init__(self, directory: Path, key: SecretKey | None, name: str = "") -> None:
        self.directory = directory
        self._key = key
        self._name = name

    def prepare(self) -> Path:
        """Where bundles go, there now. Raises `file_not_found`."""
        bundles = self.directory / "bundles"
        try:
            for place in (self.directory, bundles):
                if not place.is_dir():
                    place.mkdir(parents=True)
                    place.chmod(0o755)
        except OSError as exc:
            raise Error("file_not_found", f"cannot make {bundles}: {exc.strerror}") from exc
        return bundles

    def read(self) -> Index | None:
        """What is published there. Raises `catalog_invalid`, `catalog_untrusted` when it is signed by another key than
        ours: it is not for us to sign what a stranger wrote."""
        try:
            data = (self.directory / INDEX).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise Error("file_not_found", f"cannot read {exc.filename}: {exc.strerror}") from exc
        if self._key is not None and (self.directory / SIGNATURE).exists():
            verify(self._key.public, data, (self.directory / SIGNATURE).read_bytes())
        return parse_index(data)

    def take_bundle(self, packed: Path) -> BundleSource:
        """Give a bundle that was written beside the others its name."""
        with open(packed, "rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        packed.chmod(0o644)
        final = self.directory / bundle_path(digest)
        os.rename(packed, final)
        sync_path(final.parent)
        return BundleSource(digest=digest, size_bytes=final.stat().st_size)

    def add(self, entry: ImageEntry | KernelEntry, now: float, expires_s: float) -> Index:
        """Write the next version of the index, with `entry` in place of the one of its name and architecture. Raises as
        `read`, and `bad_name`."""
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
        """What is there, or where there is nothing an index of version 0. Raises as `add`."""
        present = self.read()
        if present is not None:
            return present
        if not self._name or self._name == BUILTIN:
            raise Error(
                "bad_name", f"there is no index in {self.directory} yet, so it needs a name", "--catalog NAME"
            )
        return Index(name=self._name, version=0, created=format_moment(now))

    def _write(self, index: Index) -> None:
        data = encode_index(index)
        parse_index(data)  # nothing goes out that no reader would take
        signature = self.directory / SIGNATURE
        if self._key is None:
            signature.unlink(missing_ok=True)
        else:
            comment = f"catalog {index.name} version {index.version} expires {index.expires}"
            write_file(signature, sign(self._key, data, comment), 0o644)
            signature.chmod(0o644)
        write_file(self.directory / INDEX, data, 0o644)
        (self.directory / INDEX).chmod(0o644)


def verify_directory(directory: Path, key: PublicKey, now: float, count: Count, stop: Event) -> Index:
    """As a reader would look: the signature, the times, and every bundle's size and digest. Raises `file_not_found`,
    `catalog_untrusted`, `catalog_expired`, `catalog_invalid`, `bundle_invalid`, `cancelled`."""
    try:
        data, signature = (directory / INDEX).read_bytes(), (directory / SIGNATURE).read_bytes()
    except OSError as exc:
        raise Error("file_not_found", f"{exc.filename}: {exc.strerror}", "publish something first") from exc
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


def _check_bundle(path: Path, source: BundleSource, count: Count, stop: Event) -> None:
    found = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                if stop.is_set():
                    raise Error("cancelled", "the catalog was being verified when it was no longer wanted")
                found.update(chunk)
                count(len(chunk))
    except OSError as exc:
        raise Error("bundle_invalid", f"{path}: {exc.strerror}", "publish it again") from exc
    if path.stat().st_size != source.size_bytes or f"sha256:{found.hexdigest()}" != source.digest:
        raise Error("bundle_invalid", f"{path} is damaged", "publish it again")


def _same(one: Entry, other: Entry) -> bool:
    return (one.name, one.architecture) == (other.name, other.architecture)
