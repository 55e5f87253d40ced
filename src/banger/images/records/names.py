"""The names of images on this host. Pure, except that catalogs are read when their names are first needed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from banger.catalogs.shelf import PREFIX as CATALOG
from banger.catalogs.shelf import Shelf
from banger.errors import Error
from banger.images.records.rootfs import PREFIX, parse_rootfs_ref
from banger.images.reference.reference import (
    Reference,
    SourceRef,
    format_source,
    parse_reference,
    parse_source,
)

# How alike two names are, from 0 to 1, of which one is taken for the other with a letter too many, too few or wrong.
_MISSPELT = 0.9


def local_name(ref: str, shelf: Shelf) -> str:
    """The name of a reference's image on this host: the name in the catalog, of the directory, or the familiar form of
    the reference with its tag. Any other text is its own name, and will not be found."""
    if ref.startswith(PREFIX):
        return parse_rootfs_ref(ref).name
    found = shelf.find_image(ref)
    if found is not None:
        return found.name
    try:
        source = parse_source(ref)
    except Error:
        return ref
    return source.familiar if isinstance(source, Reference) else ref


def own_name(name: str, shelf: Shelf) -> str:
    """A name that the user gives: a reference without a digest. Raises `bad_reference`, `name_taken`."""
    found = shelf.find_image(name)
    if found is not None:
        raise Error("name_taken", f"{name} is an image of catalog {found.catalog}", "choose another name")
    reference = parse_reference(name)
    if reference.digest:
        raise Error(
            "bad_reference",
            f"{name!r} contains a digest; a name cannot contain a digest",
            "use NAME or NAME:TAG",
        )
    return reference.familiar


def other_names(source: SourceRef, shelf: Shelf, also: Iterable[str]) -> list[str]:
    """The names that an archive gives an image beside `called`, if the image was asked for by its number. Raises
    `bad_reference`, `name_taken`."""
    by_number = getattr(source, "image", "").startswith("@")
    return [own_name(name, shelf) for name in also] if by_number else []


def name_of(source: SourceRef, shelf: Shelf, called: str = "") -> str:
    """The name of a source's image, if the user gives none: the reference, the name in the archive, or the name of the
    file. `called` is what the archive calls an image that was asked for by its number. Raises `bad_name`."""
    if isinstance(source, Reference):
        return source.familiar
    stem = Path(getattr(source, "path", "")).name.partition(".")[0].lower()
    asked = getattr(source, "image", "")
    raw = (called if asked.startswith("@") else asked) or stem
    try:
        return own_name(raw, shelf)
    except Error as exc:
        place = format_source(source)
        raise Error(
            "bad_name", f"{place} gives its image no name", "name the image with --name NAME"
        ) from exc


def not_found(ref: str, here: list[str], shelf: Shelf) -> Error:
    """`image_not_found` with a hint that lists the known names."""
    known = sorted({listed.entry.name for listed in shelf.images()} | set(here))
    if ref.startswith(CATALOG):
        return Error("image_not_found", f"no catalog has {ref!r}", "banger image catalog", {"known": known})
    listed = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return Error(
        "image_not_found",
        f"no image is known as {ref!r}",
        f"known images: {listed}; a directory: rootfs:/path",
        {"known": known},
    )


def refuse_misspelt(ref: str, shelf: Shelf) -> None:
    """Raises `image_not_found` for a bare word that is nearly the name of a catalog's image: a registry would be asked
    for it, and would say no more than that it has no such image."""
    if not ref.replace("-", "").isalnum():
        return
    from difflib import get_close_matches

    near = get_close_matches(ref, {listed.entry.name for listed in shelf.images()}, 1, _MISSPELT)
    if near and near[0] != ref:
        raise Error(
            "image_not_found",
            f"no image is known as {ref!r}",
            f"did you mean {near[0]}? The image of that name on Docker Hub is docker.io/library/{ref}",
            {"near": near[0]},
        )
