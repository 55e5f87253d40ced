"""A snapshot's files → its bundle. Blocking: for a thread. Nothing may write to the files meanwhile."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from banger.bundles import writer
from banger.bundles.members import BundleFile
from banger.errors import Error
from banger.model.template import Snapshot
from banger.templates.bundle import SealedManifest, check_names, seal
from banger.vmm.frozen import FrozenFiles

_ANY_SIZE = 1 << 63


def describe(directory: Path, snapshot: Snapshot, files: FrozenFiles, stop: Event) -> SealedManifest:
    """The manifest, and so the digest, of a bundle of the members in `directory`. Raises `frozen_damaged` when one
    cannot be read, `snapshot_invalid` when one cannot be in a bundle: a disk that depends on another; `cancelled`."""
    check_names(list(files.members))
    return seal(snapshot, [_describe_file(directory / name, files, stop) for name in files.members])


def pack(directory: Path, sealed: SealedManifest) -> Generator[bytes, None, None]:
    """The bundle in pieces, many of them empty: one for each MiB that was read. The same files come out as the same
    bytes, with one version of zstd. Raises `frozen_damaged` when a file
    cannot be read or has another size than the manifest says."""
    files = sealed.manifest.files
    with _reading():
        yield from writer.pack(sealed.data, files, [directory / file.name for file in files])


def _describe_file(path: Path, files: FrozenFiles, stop: Event) -> BundleFile:
    with _reading():
        files.check_member(path, _ANY_SIZE)
        return writer.describe_file(path, stop)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise Error(
            "frozen_damaged", f"{exc.filename} cannot be read: {exc.strerror}", "check the host's disk"
        ) from exc
