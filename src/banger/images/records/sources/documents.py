"""From an index to the manifest of one image, and from a layout's `index.json` to the image that the user means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct

from banger.errors import Error
from banger.images.reference.documents import (
    CONTAINERD_NAME,
    REF_NAME,
    Descriptor,
    Index,
    Manifest,
    choose_manifest,
    decode,
    digest_of,
    invalid,
    parse_document,
    platform_of,
)
from banger.images.reference.platform import Platform
from banger.images.reference.reference import parse_reference

LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"
_MAX_DEPTH = 3
_MAX_LISTED = 20

FetchManifest = Callable[[Descriptor], Awaitable[bytes]]


class _Layout(Struct):
    version: str = msgspec.field(name="imageLayoutVersion", default="")


async def descend(
    data: bytes,
    platform: Platform,
    name: str,
    fetch: FetchManifest,
    named: Platform | None = None,
) -> tuple[Manifest, bytes, Platform | None]:
    """Follow indexes to the manifest for a platform. Returns the manifest, the bytes that it was read from, and the
    platform that the last index gave for it. Checks what `fetch` returns."""
    for _ in range(_MAX_DEPTH):
        parsed = parse_document(data)
        if isinstance(parsed, Manifest):
            return parsed, data, named
        entry = choose_manifest(parsed, platform, name)
        named = platform_of(entry) or named
        data = await fetch(entry)
        if len(data) != entry.size or digest_of(data) != entry.digest:
            raise invalid(f"{name}: the manifest is not {entry.digest} of {entry.size} bytes")
    raise invalid(f"{name} is an index of indexes of indexes")


def check_layout(data: bytes, name: str) -> None:
    """Check the file `oci-layout`. Raises `image_invalid`, `unsupported`."""
    version = decode(data, _Layout, f"{LAYOUT_FILE} of {name}").version
    if not version.startswith("1."):
        raise Error(
            "unsupported",
            f"{name} is an OCI layout of version {version[:20]!r}",
            "use a layout of version 1.0.0",
        )


def select_image(index: Index, wanted: str, name: str) -> Index:
    """The manifests in a layout of the image `wanted` (a tag, a reference or "@N"); if `wanted` is empty, of the only
    image. Raises `image_not_found`, which lists the images."""
    entries = index.manifests or []
    if wanted.startswith("@") and wanted[1:].isdecimal():
        found = entries[int(wanted[1:5]) :][:1]
    elif wanted:
        found = [entry for entry in entries if not names_of(entry).isdisjoint({wanted, _canonical(wanted)})]
    else:
        found = entries if _is_one_image(entries) else []
    if not found:
        raise not_there(name, wanted, sorted({_shown(entry) for entry in entries} - {""}))
    return Index(manifests=list({entry.digest: entry for entry in found}.values()))


def _is_one_image(entries: list[Descriptor]) -> bool:
    """Whether all names mean the same manifests, as in an image that was saved under two tags."""
    manifests: defaultdict[frozenset[str], set[str]] = defaultdict(set)
    for entry in entries:
        manifests[frozenset(names_of(entry))].add(entry.digest)
    return len({frozenset(digests) for digests in manifests.values()}) == 1


def names_of(entry: Descriptor) -> set[str]:
    """The names of a layout's entry."""
    given = {entry.annotation(REF_NAME), entry.annotation(CONTAINERD_NAME)} - {""}
    return given | {_canonical(name) for name in given}


def not_there(name: str, wanted: str, available: list[str]) -> Error:
    listed = ", ".join(available[:_MAX_LISTED]) or "images without names"
    message = f"{name} has no image {wanted[:200]!r}" if wanted else f"{name} does not hold exactly one image"
    return Error(
        "image_not_found",
        message,
        f"it holds {listed}; name an image of it after a colon",
        {"known": available[:100]},
    )


def _shown(entry: Descriptor) -> str:
    return entry.annotation(REF_NAME) or entry.annotation(CONTAINERD_NAME)


def _canonical(name: str) -> str:
    """A reference in its long form; any other text is not changed."""
    try:
        return parse_reference(name).canonical
    except Error:
        return name
