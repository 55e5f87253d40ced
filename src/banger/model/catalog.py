"""The contents of a catalog: images and kernels by name, and the sources of each. docs/image-catalog.md explains it.

These structs are the format: docs/catalog.schema.json is made from them, and a test compares the two. A reader
ignores fields and kinds of sources that it does not know.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from banger.model.machine import ImageInit

NAME_PATTERN = r"^[a-z0-9]+(?:[._-][a-z0-9]+)*\Z"
Name = Annotated[str, Meta(pattern=NAME_PATTERN, max_length=63)]
Architecture = Annotated[str, Meta(pattern=r"^[a-z0-9]{1,16}\Z")]
Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
DigestOrNone = Annotated[str, Meta(pattern=r"^(?:sha256:[0-9a-f]{64})?\Z")]
Moment = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z")]
MomentOrNone = Annotated[str, Meta(pattern=r"^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?\Z")]
Line = Annotated[str, Meta(max_length=512)]
Bytes = Annotated[int, Meta(ge=0, le=1 << 50)]
# They become arguments of apt and mmdebstrap, which give a meaning to more than letters.
PackageName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9+.-]{0,127}\Z")]
Suite = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\Z")]
Unit = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9@_.-]{0,127}\Z")]


class BundleSource(Struct, kw_only=True, frozen=True, tag_field="type", tag="bundle"):
    """One file beside the index, `bundles/<hex of digest>.tar.zst`. `mirrors` are whole URLs of further copies of the
    same file."""

    digest: Digest
    size_bytes: Bytes
    mirrors: tuple[Annotated[str, Meta(pattern=r"^https?://\S+\Z", max_length=2048)], ...] = ()


class OciSource(Struct, kw_only=True, frozen=True, tag_field="type", tag="oci"):
    """An image of a registry: a reference with a digest. The digest makes the image trustworthy."""

    reference: Annotated[str, Meta(pattern=r"^\S+@sha256:[0-9a-f]{64}\Z", max_length=512)]


class DebianSource(Struct, kw_only=True, frozen=True, tag_field="type", tag="debian"):
    """Built on this host from a suite of Debian's signed archive. For an image, `packages` are the packages beside the
    essential ones, `enable` are systemd units to enable, and `epoch` is the time of the files that the build itself
    writes, in seconds since 1970. For a kernel, the one package contains the kernel or depends on the newest kernel."""

    suite: Suite
    packages: Annotated[tuple[PackageName, ...], Meta(max_length=512)]
    epoch: Annotated[int, Meta(ge=0, le=1 << 40)] = 0
    enable: Annotated[tuple[Unit, ...], Meta(max_length=64)] = ()


Source = BundleSource | OciSource | DebianSource


class Entry(Struct, kw_only=True, frozen=True):
    """What images and kernels have in common. `digest` and `size_bytes` describe the disk (or vmlinux) in a bundle;
    for an entry that is built, `digest` is empty and `size_bytes` an estimate. `min_banger` is the oldest banger that
    can use the entry. `provenance` says in one line who made it, and from what. banger tries the `sources` in their
    order."""

    name: Name
    aliases: Annotated[tuple[Name, ...], Meta(max_length=32)] = ()
    description: Line = ""
    architecture: Architecture
    size_bytes: Bytes = 0
    digest: DigestOrNone = ""
    created: MomentOrNone = ""
    provenance: Line = ""
    min_banger: Annotated[str, Meta(pattern=r"^(?:[0-9]{1,6}(?:\.[0-9]{1,6}){0,3})?\Z")] = ""
    sources: Annotated[tuple[Source, ...], Meta(max_length=16)]


class ImageEntry(Entry, kw_only=True, frozen=True):
    """`kernel` is the default kernel for machines of this image; empty means the usual one. `init` is the default for
    process 1."""

    kernel: Annotated[str, Meta(max_length=200)] = ""
    init: ImageInit = "agent"


class KernelEntry(Entry, kw_only=True, frozen=True):
    """A kernel."""


class Index(Struct, kw_only=True, frozen=True):
    """A whole catalog: the file that is signed. `version` grows with each publication. A reader does not trust the
    index after `expires`."""

    format: Literal[1] = 1
    name: Name
    version: Annotated[int, Meta(ge=1, le=1 << 53)]
    created: Moment
    expires: MomentOrNone = ""
    images: Annotated[tuple[ImageEntry, ...], Meta(max_length=10_000)] = ()
    kernels: Annotated[tuple[KernelEntry, ...], Meta(max_length=10_000)] = ()


class Catalog(Struct, kw_only=True):
    """A catalog as this host knows it. An empty `expires` means never. `refreshed` is the time at which the index was
    fetched. `problem` says why the catalog is not used, or why its index is not the newest."""

    name: str
    url: str
    key: str
    position: int
    version: int = 0
    created: str = ""
    expires: str = ""
    refreshed: str = ""
    images: int = 0
    kernels: int = 0
    problem: str = ""


class AddCatalog(Struct, kw_only=True, forbid_unknown_fields=True):
    """`url` is the URL of the index, or of the directory that contains it. `key` is a public key as minisign writes
    it. An empty `name` means the name in the index."""

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    key: Annotated[str, Meta(min_length=1, max_length=1024)]
    name: Annotated[str, Meta(max_length=63)] = ""


class PublishRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Put an image or kernel of this host into a catalog that is a directory. An empty `entry` means the name on this
    host. `catalog` is the name of the catalog; it is required if there is no index yet. `key_file` is the path from
    which the daemon reads a minisign secret key; if it is empty, the index stays unsigned. `expires_s` is how long the
    index is valid, in seconds."""

    kind: Literal["image", "kernel"]
    name: Annotated[str, Meta(min_length=1, max_length=1024)]
    directory: Annotated[str, Meta(min_length=1, max_length=4096)]
    entry: Annotated[str, Meta(max_length=63)] = ""
    catalog: Annotated[str, Meta(max_length=63)] = ""
    aliases: Annotated[list[Name], Meta(max_length=32)] = []
    description: Line = ""
    provenance: Line = ""
    key_file: Annotated[str, Meta(max_length=4096)] = ""
    password: Annotated[str, Meta(max_length=1024)] = ""
    expires_s: Annotated[float, Meta(gt=0, le=10 * 365 * 86400)] = 30 * 86400


class VerifyRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Check a catalog that is a directory, as a reader would. `key` is a public key as minisign writes it."""

    directory: Annotated[str, Meta(min_length=1, max_length=4096)]
    key: Annotated[str, Meta(min_length=1, max_length=1024)]


class Published(Struct, kw_only=True):
    """An entry that was put into a catalog: its name there, and whether the index still has to be signed."""

    entry: str
    is_signed: bool


class Verified(Struct, kw_only=True):
    """A catalog's directory that passed the check."""

    catalog: str
    version: int
    bundles: int


class Offer(Struct, kw_only=True):
    """An entry in a listing. `ref` is the reference to pull it by. `sources` lists the kinds of its sources. `here`
    says whether this host has it. `hidden_by` is the catalog whose entry of the same name is used instead."""

    name: str
    ref: str
    catalog: str
    architecture: str
    description: str
    aliases: list[str]
    sources: list[str]
    size_bytes: int
    digest: str
    created: str
    provenance: str
    min_banger: str
    here: bool
    hidden_by: str = ""
    kernel: str = ""
