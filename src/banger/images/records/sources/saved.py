"""The image in an archive, in either of its two forms."""

from __future__ import annotations

import msgspec

from banger.errors import Error
from banger.images.disks.source import Source
from banger.images.records.sources.archive import Archive
from banger.images.records.sources.docker_archive import MANIFEST_FILE, DockerArchiveSource, Entry
from banger.images.records.sources.documents import INDEX_FILE, LAYOUT_FILE
from banger.images.records.sources.layout import LayoutSource, read_file
from banger.images.reference.documents import MAX_MANIFEST_BYTES


def choose_form(archive: Archive, wanted: str) -> Source:
    """The OCI layout, if there is one: its blobs have digests. Raises `image_invalid`."""
    if INDEX_FILE in archive and LAYOUT_FILE in archive:
        return LayoutSource(archive, wanted, archive.name)
    if MANIFEST_FILE in archive:
        return DockerArchiveSource(archive, wanted)
    raise Error(
        "image_invalid",
        f"{archive.name} holds neither {INDEX_FILE} nor {MANIFEST_FILE}",
        "for a tar file of a plain tree, write tar:FILE",
    )


def is_image(archive: Archive) -> bool:
    """Whether the archive contains an image. A plain tree may have a file named manifest.json, too. Blocking."""
    if INDEX_FILE in archive and LAYOUT_FILE in archive:
        return True
    try:
        data = read_file(archive, MANIFEST_FILE, MAX_MANIFEST_BYTES)
        entries = msgspec.json.decode(data, type=list[Entry])
    except (Error, msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return any(entry.config in archive for entry in entries)
