"""The bundle, one file in which a snapshot travels: a tar archive, compressed with zstd.

    manifest.json   names the format, the snapshot, and every other member with its size and digest
    memory, ...     the members that the manifest lists, in its order, and nothing else

The manifest names every member with its digest, so the digest of the manifest names the bundle, whatever the
compression. docs/snapshot-format.md is the specification.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from banger.bundles.members import MANIFEST, MANIFEST_MAX_BYTES, BundleFile, quoted
from banger.bundles.members import check_names as check_member_names
from banger.errors import Error
from banger.model.template import Snapshot

FORMAT = 1


class Manifest(Struct, kw_only=True, frozen=True):
    """The snapshot's own `digest` is empty here: a text cannot contain its own digest. A newer banger may write more
    fields; the reader ignores fields that it does not know."""

    format: Annotated[int, Meta(ge=1)] = FORMAT
    snapshot: Snapshot
    files: tuple[BundleFile, ...]


@dataclass(frozen=True)
class SealedManifest:
    """A manifest with its bytes, and the digest over them that names the bundle: "sha256:..."."""

    manifest: Manifest
    data: bytes
    digest: str

    @property
    def files(self) -> tuple[BundleFile, ...]:
        return self.manifest.files


class _AnyFormat(Struct):
    format: int


def seal(snapshot: Snapshot, files: list[BundleFile]) -> SealedManifest:
    """The same snapshot and files always give the same bytes. Raises `snapshot_invalid`."""
    record = msgspec.structs.replace(snapshot, digest="")
    manifest = Manifest(snapshot=record, files=tuple(files))
    check_names([file.name for file in files])
    data = msgspec.json.encode(manifest)
    if len(data) > MANIFEST_MAX_BYTES:
        raise invalid(f"the manifest has {len(data)} bytes; at most {MANIFEST_MAX_BYTES} are allowed")
    return SealedManifest(manifest, data, _digest(data))


def parse_manifest(data: bytes) -> SealedManifest:
    """The manifest in a stranger's bundle; what the manifest says of the snapshot is not verified. Raises
    `snapshot_invalid`."""
    try:
        written = msgspec.json.decode(data, type=_AnyFormat).format
        if written != FORMAT:
            raise invalid(
                f"the bundle has format {written}, this banger reads format {FORMAT}", "use a newer banger"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise invalid(f"{MANIFEST} is malformed: {quoted(str(exc))}") from exc
    if manifest.snapshot.digest:
        raise invalid(f"{MANIFEST} claims a digest for the snapshot that contains it")
    check_names([file.name for file in manifest.files])
    return SealedManifest(manifest, data, _digest(data))


def check_names(names: list[str]) -> None:
    """Raises `snapshot_invalid`."""
    try:
        check_member_names(names)
    except Error as exc:
        raise invalid(exc.message, exc.hint) from exc


def invalid(message: str, hint: str = "export the snapshot again, and compare the digests") -> Error:
    return Error("snapshot_invalid", message, hint)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
