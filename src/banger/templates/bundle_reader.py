"""A stranger's bundle → a snapshot's files. Blocking: for a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from banger.bundles import reader
from banger.errors import BundleInvalid
from banger.templates.bundle import SealedManifest, invalid, parse_manifest
from banger.vmm.frozen import FrozenFiles

# Called with the manifest before any file of the bundle is written.
FilesOf = Callable[[SealedManifest], FrozenFiles]


@dataclass(frozen=True)
class Limits:
    """`total_bytes`: limit for all files together, holes included, because zeros take time to hash too. `disk_bytes`:
    the largest virtual size that a disk in the bundle may have."""

    total_bytes: int
    disk_bytes: int


def unpack(
    pieces: Iterator[bytes], directory: Path, limits: Limits, files_of: FilesOf, stop: Event
) -> SealedManifest:
    """Write the files of the bundle that comes in `pieces` into `directory`, mode 0600, synced. The caller owns
    `directory` and removes it when this raises `snapshot_invalid`, `insufficient_disk`, `cancelled`, or what `files_of`
    raises."""
    files: list[FrozenFiles] = []

    def parse(data: bytes) -> SealedManifest:
        sealed = parse_manifest(data)
        files.append(files_of(sealed))
        return sealed

    def check(path: Path) -> None:
        files[0].check_member(path, limits.disk_bytes)

    try:
        return reader.unpack(pieces, directory, parse, limits.total_bytes, stop, check)
    except BundleInvalid as exc:
        raise invalid(exc.message, exc.hint) from exc
