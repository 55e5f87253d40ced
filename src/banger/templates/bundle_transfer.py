"""Bundles of snapshots, as the server sends and receives them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from pathlib import Path

from banger.bundles import transfer
from banger.host.thread import in_stoppable_thread
from banger.model.template import Snapshot
from banger.templates.bundle import SealedManifest
from banger.templates.bundle_reader import FilesOf, Limits, unpack
from banger.templates.bundle_writer import describe, pack
from banger.vmm.frozen import FrozenFiles


async def describe_bundle(directory: Path, snapshot: Snapshot, files: FrozenFiles) -> SealedManifest:
    """The manifest and digest of a bundle of the members in `directory`; reads them once. Raises `frozen_damaged`,
    `snapshot_invalid`."""
    return await in_stoppable_thread(lambda stop: describe(directory, snapshot, files, stop))


def read_bundle_stream(directory: Path, sealed: SealedManifest) -> AsyncGenerator[bytes, None]:
    """The bundle, in chunks. Raises `frozen_damaged` when a file cannot be read or its size differs from the
    manifest."""
    return transfer.send(pack(directory, sealed))


async def unpack_bundle(
    chunks: AsyncIterable[bytes], directory: Path, limits: Limits, files_of: FilesOf
) -> SealedManifest:
    """Write the files of a bundle into `directory`, a private directory of the caller, who publishes or removes it.

    Raises `snapshot_invalid`, `insufficient_disk`, and what `chunks` and `files_of` raise. Stops at the first error and
    then does not read the rest of `chunks`."""
    return await transfer.receive(
        chunks, lambda pieces, stop: unpack(pieces, directory, limits, files_of, stop)
    )
