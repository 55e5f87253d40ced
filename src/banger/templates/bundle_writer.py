"""A snapshot's files → its bundle. Blocking: for a thread. The files must not change meanwhile."""

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
    """The manifest, and so the digest, of a bundle of the members in `directory`. Raises `frozen_damaged` if a member
    cannot be read, `snapshot_invalid` if a member depends on a file outside of the bundle, `cancelled`."""
    check_names(list(files.members))
    return seal(snapshot, [_describe_file(directory / name, files, stop) for name in files.members])


def pack(directory: Path, sealed: SealedManifest) -> Generator[bytes, None, None]:
    """The bundle in pieces, many of them empty: one piece for each MiB that was read. With one version of zstd, the
    same files give the same bytes. Raises `frozen_damaged` if a file cannot be read or its size differs from the
    manifest."""
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
