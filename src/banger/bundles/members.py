"""The members of a bundle: a tar archive, compressed with zstd.

manifest.json   names every other member with its size and digest; each kind of bundle adds fields of its own
memory, ...     the members in the manifest, in its order, and no others
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from banger.errors import Error
from banger.model.sizes import MIB

MANIFEST = "manifest.json"
MANIFEST_MAX_BYTES = MIB
FILES_MAX = 256
TAR_BLOCK = tarfile.BLOCKSIZE

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


class BundleFile(Struct, kw_only=True, frozen=True):
    """`sha256` is over the whole file, with holes as zeros: 64 hex digits."""

    name: str
    size_bytes: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


def check_names(names: Sequence[str]) -> None:
    """Check that members' names are plain file names, which neither a shell nor a person can misread. Raises
    `bundle_invalid`."""
    if len(names) > FILES_MAX:
        raise invalid(f"the bundle has {len(names)} files; at most {FILES_MAX} are allowed")
    for number, name in enumerate(names):
        if not _NAME.fullmatch(name) or name == MANIFEST:
            raise invalid(f"{quoted(name)} cannot be the name of a file in a bundle")
        if name in names[:number]:
            raise invalid(f"{name} is in the bundle twice")


def tar_header(name: str, size_bytes: int) -> bytes:
    """The tar header of a member. It does not say who packed it, or when."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size_bytes, 0o600
    return member.tobuf(tarfile.GNU_FORMAT)


def tar_padding(size_bytes: int) -> int:
    """The number of zeros after a member's bytes."""
    return -size_bytes % TAR_BLOCK


def invalid(message: str, hint: str = "get the bundle again, and compare the digests") -> Error:
    return Error("bundle_invalid", message, hint)


def quoted(text: str) -> str:
    """A stranger's text for a message: in ASCII, and of limited length."""
    return ascii(text if len(text) <= 160 else text[:157] + "...")
