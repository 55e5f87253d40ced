"""A snapshot's files → its bundle. Blocking: for a thread. Nothing may write to the files meanwhile."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from banger.bundles import writer
from banger.bundles.members import BundleFile
from banger.errors import Error
from banger.model.template import Snapshot
from banger.templates.bundle import SealedManifest, check_names, seal
from banger.templates.qcow2_header import check_standalone_qcow2

_ANY_SIZE = 1 << 63


def describe(directory: Path, snapshot: Snapshot, names: Sequence[str], stop: Event) -> SealedManifest:
    """The manifest, and so the digest, of a bundle of these files. Raises `frozen_damaged` when one cannot be read,
    `snapshot_invalid` when one cannot be in a bundle: a disk that depends on another; `cancelled`."""
    check_names(list(names))
    return seal(snapshot, [_describe_file(directory / name, stop) for name in names])


def pack(directory: Path, sealed: SealedManifest) -> Generator[bytes, None, None]:
    """The bundle in pieces, many of them empty: one for each MiB that was read. The same files come out as the same
    bytes, with one version of zstd. Raises `frozen_damaged` when a file
    cannot be read or has another size than the manifest says."""
    files = sealed.manifest.files
    with _reading():
        yield from writer.pack(sealed.data, files, [directory / file.name for file in files])


def _describe_file(path: Path, stop: Event) -> BundleFile:
    with _reading():
        if path.name.endswith(".qcow2"):
            check_standalone_qcow2(path, _ANY_SIZE)
        return writer.describe_file(path, stop)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise Error(
            "frozen_damaged", f"{exc.filename} cannot be read: {exc.strerror}", "look at the disk"
        ) from exc
