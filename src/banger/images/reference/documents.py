"""The documents of the OCI image specification, and Docker's equivalent ones: the parts that matter for running an
image.

Bytes in, values out; no I/O. The caller that fetched a document has checked its digest and size. Unknown fields are
ignored, as the specification asks; a known field with a wrong value is `image_invalid`.

Sources: OCI image-spec (image-index.md, manifest.md, config.md, descriptor.md), Docker's image manifest version 2,
schema 2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec
from msgspec import Struct

from banger.errors import Error
from banger.images.reference.platform import (
    Platform,
    choose,
    choose_near,
    parse_platform,
    parse_platform_fields,
)
from banger.images.reference.reference import check_digest
from banger.model.image import ImageConfig
from banger.model.sizes import GIB, MIB

MAX_MANIFEST_BYTES = 4 * MIB
MAX_CONFIG_BYTES = 8 * MIB
MAX_LAYER_BYTES = 128 * GIB
MAX_LAYERS = 512
MAX_MANIFESTS = 1024

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
# The media type that old tools and careless registries give a configuration: it says nothing, so the content decides.
_SAYS_NOTHING = ("application/octet-stream", "application/json", "text/plain", "text/html")
INDEX_TYPES = (OCI_INDEX, DOCKER_LIST)
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)

LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
# The compression of each media type of a layer.
COMPRESSION = {
    LAYER_TAR: "",
    LAYER_GZIP: "gzip",
    LAYER_ZSTD: "zstd",
    "application/vnd.docker.image.rootfs.diff.tar": "",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
}
REF_NAME = "org.opencontainers.image.ref.name"
_ATTESTATION = "vnd.docker.reference.type"
CONTAINERD_NAME = "io.containerd.image.name"


class PlatformFields(Struct):
    os: str = ""
    architecture: str = ""
    variant: str | None = None


class Descriptor(Struct, rename="camel"):
    """image-spec descriptor.md. `size` in bytes."""

    digest: str
    size: int
    media_type: str = ""
    platform: PlatformFields | None = None
    annotations: dict[str, str] | None = None
    urls: list[str] | None = None

    def annotation(self, name: str) -> str:
        return (self.annotations or {}).get(name, "")


class Manifest(Struct, rename="camel"):
    config: Descriptor
    layers: list[Descriptor] | None = None
    media_type: str = ""
    annotations: dict[str, str] | None = None


class Index(Struct, rename="camel"):
    manifests: list[Descriptor] | None
    media_type: str = ""
    annotations: dict[str, str] | None = None


class RunConfig(Struct, rename="pascal"):
    """config.md, `config`. Go programs write empty fields as null."""

    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    env: list[str] | None = None
    working_dir: str | None = None
    user: str | None = None
    stop_signal: str | None = None
    exposed_ports: dict[str, msgspec.Raw] | None = None
    labels: dict[str, str] | None = None


class RootFs(Struct):
    diff_ids: list[str] | None = None


class Config(Struct):
    """`architecture` and `os` may be empty in images made by hand."""

    rootfs: RootFs
    os: str | None = None
    architecture: str | None = None
    variant: str | None = None
    created: str | None = None
    config: RunConfig | None = None
    history: msgspec.Raw | None = None


@dataclass(frozen=True)
class Layer:
    """`digest` and `size` (bytes) belong to the blob as it is stored. `diff_id` is the digest of the tar file in it,
    which the reader that inflates the blob has to check."""

    digest: str
    size: int
    media_type: str
    diff_id: str

    @property
    def compression(self) -> str:
        """ "gzip", "zstd" or "" for none."""
        return COMPRESSION[self.media_type]


@dataclass(frozen=True)
class Documents:
    """Manifest and configuration of an image: the bytes that their digests belong to. `media_type` is that of the
    manifest."""

    manifest: bytes
    config: bytes
    media_type: str = OCI_MANIFEST

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)

    @property
    def config_digest(self) -> str:
        return digest_of(self.config)


@dataclass(frozen=True)
class ImagePlan:
    """An image's parts: `layers` from the lowest up. `manifest_digest` is the digest of the document that was resolved:
    a manifest, or if the source has none, the configuration or the only layer. Without `whiteouts` the image is a plain
    tree, and a name that begins with `.wh.` is an ordinary name. `warnings` tell of documents that contradict each
    other. `called` is the name that an archive gives the image, "" if it gives none, and `also` its other names there.
    `history` is as the configuration has it. `documents` are None if the source has no manifest."""

    config: ImageConfig
    layers: tuple[Layer, ...]
    manifest_digest: str
    platform: Platform
    created: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    whiteouts: bool = True
    warnings: tuple[str, ...] = ()
    called: str = ""
    also: tuple[str, ...] = ()
    history: msgspec.Raw | None = None
    documents: Documents | None = None

    @property
    def size_bytes(self) -> int:
        """The size of all blobs; each blob counts once."""
        return sum({layer.digest: layer.size for layer in self.layers}.values())


class _Shape(Struct, rename="camel"):
    """The fields that tell the kinds of documents apart."""

    schema_version: int = 0
    media_type: str = ""
    manifests: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    layers: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    config: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


T = TypeVar("T")


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def decode(data: bytes, kind: type[T], what: str) -> T:
    """Raises `image_invalid`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise invalid(f"the {what} cannot be read: {str(exc)[:200]}") from exc


def parse_document(data: bytes) -> Manifest | Index:
    """An index or a manifest. A document that could be both is refused. Raises `image_invalid`."""
    shape = decode(data, _Shape, "manifest")
    if shape.schema_version == 1:
        raise Error(
            "unsupported", "the image has a manifest of schema 1", "push it again with a current tool"
        )
    is_index = shape.manifests is not msgspec.UNSET
    is_manifest = shape.config is not msgspec.UNSET or shape.layers is not msgspec.UNSET
    if is_index == is_manifest:
        raise invalid(
            f"the manifest is {'both an index and a manifest' if is_index else 'neither index nor manifest'}"
        )
    allowed = INDEX_TYPES if is_index else MANIFEST_TYPES
    if shape.media_type and shape.media_type not in allowed:
        raise invalid(f"the manifest does not look like the {shape.media_type[:100]} it says it is")
    return _check_index(data) if is_index else _check_manifest(data)


def choose_manifest(index: Index, platform: Platform, name: str) -> Descriptor:
    """The manifest or nested index for `platform`. Raises `platform_not_found`, which lists the platforms."""
    entries = index.manifests or []
    platforms = [platform_of(entry) for entry in entries]
    known = [(entry, found) for entry, found in zip(entries, platforms, strict=True) if found is not None]
    available = [found for _, found in known]
    best = choose(platform, available) or choose_near(platform, available)
    if best is not None:
        return next(entry for entry, found in known if found == best)
    unnamed = list({entry.digest: entry for entry in entries if entry.platform is None}.values())
    if not unnamed and not known:
        unnamed = [entry for entry in entries if not entry.annotation(_ATTESTATION)]
    if len(unnamed) == 1 and not known:
        return unnamed[0]
    raise no_platform(name, platform, [str(found) for _, found in known])


def type_of(manifest: Manifest) -> str:
    """The media type of a manifest, which OCI's need not have in them, but Docker's do."""
    return manifest.media_type or OCI_MANIFEST


def parse_config(data: bytes) -> Config:
    return decode(data, Config, "image configuration")


def make_plan(
    manifest: Manifest,
    documents: Documents,
    platform: Platform,
    name: str,
    named: Platform | None = None,
) -> ImagePlan:
    """The plan of a manifest and its configuration, which are checked against each other. `documents` are their bytes;
    `named` is the platform that an index gives. Raises `image_invalid`, `platform_not_found`, and `unsupported` for
    foreign layers."""
    layers = manifest.layers or []
    plan = plan_layers(
        [_layer_fields(layer) for layer in layers],
        parse_config(documents.config),
        documents.digest,
        platform,
        name,
        manifest.annotations or {},
        named,
    )
    return replace(plan, documents=documents)


def plan_layers(
    blobs: Sequence[tuple[str, int, str]],
    config: Config,
    manifest_digest: str,
    platform: Platform,
    name: str,
    annotations: dict[str, str] | None = None,
    named: Platform | None = None,
) -> ImagePlan:
    """As `make_plan`, from (digest, size, media type) of each blob."""
    found, warnings = check_platform(config, platform, name, named)
    diff_ids = [check_digest(diff_id) for diff_id in config.rootfs.diff_ids or []]
    if len(diff_ids) != len(blobs):
        raise invalid(f"{name} has {len(blobs)} layers, but its configuration names {len(diff_ids)}")
    layers = tuple(Layer(*blob, diff_id) for blob, diff_id in zip(blobs, diff_ids, strict=True))
    run = config.config or RunConfig()
    return ImagePlan(
        config=image_config(run),
        layers=layers,
        manifest_digest=manifest_digest,
        platform=found,
        created=config.created or "",
        annotations=annotations or {},
        labels=run.labels or {},
        warnings=warnings,
        history=config.history,
    )


def check_platform(
    config: Config, wanted: Platform, name: str, named: Platform | None = None
) -> tuple[Platform, tuple[str, ...]]:
    """The platform of an image, by its own configuration and by the index that named it, and warnings about
    contradictions. The index is trusted more: its author chose the platforms by hand. Raises `platform_not_found`."""
    promised = named or wanted
    doubts = []
    if named is not None and choose(wanted, [named]) is None:
        doubts.append(f"{name} is for {named}; this is {wanted}, so some programs may not start")
    if not config.os and not config.architecture:
        return promised, tuple(doubts)
    found = parse_platform_fields(config.os or "linux", config.architecture or "", config.variant or "")
    if choose(wanted, [found]) is not None:
        return found, tuple(doubts)
    if "unknown" in (found.os, found.architecture):
        doubts.append(f"the configuration of {name} names no platform; banger takes it for {promised}")
    elif choose_near(wanted, [found]) is not None:
        promised = found
        if named != found:
            doubts.append(f"{name} is for {found}; this is {wanted}, so some programs may not start")
    elif named is not None:
        doubts.append(
            f"the configuration of {name} says {found}, the index {named}; banger takes it for {named}"
        )
    else:
        raise no_platform(name, wanted, [str(found)])
    return promised, tuple(doubts)


def image_config(run: RunConfig) -> ImageConfig:
    """Raises `image_invalid` for a configuration with which no process could start."""
    config = ImageConfig(
        entrypoint=run.entrypoint or [],
        cmd=run.cmd or [],
        env=run.env or [],
        cwd=run.working_dir or "",
        user=run.user or "",
        stop_signal=run.stop_signal or "",
        exposed_ports=sorted(run.exposed_ports or {}),
    )
    texts = [*config.entrypoint, *config.cmd, *config.env, config.cwd, config.user, config.stop_signal]
    if any("\0" in text for text in [*texts, *config.exposed_ports]):
        raise invalid("the image configuration has a NUL byte in a string")
    return config


def invalid(message: str) -> Error:
    return Error("image_invalid", message, "pull the image again, or tell its author")


def no_platform(name: str, wanted: Platform, available: list[str]) -> Error:
    there = sorted(set(available))
    possible = [found for found in there if _can_be_asked_for(found)]
    listed = ", ".join(there[:20]) + (", ..." if len(there) > 20 else "")
    return Error(
        "platform_not_found",
        f"{name} has nothing for {wanted}, only for {listed}"
        if there
        else f"{name} has nothing for {wanted}",
        f"choose one of them: --platform {possible[0]}" if possible else "use another image",
        {"platforms": there[:100]},
    )


def _can_be_asked_for(platform: str) -> bool:
    try:
        return str(parse_platform(platform)) == platform
    except Error:
        return False


def check_descriptor(descriptor: Descriptor, limit_bytes: int, what: str) -> Descriptor:
    """Raises `image_invalid` for an impossible digest or size."""
    check_digest(descriptor.digest)
    if not 0 <= descriptor.size <= limit_bytes:
        raise invalid(f"the {what} has a size of {descriptor.size} bytes; 0 to {limit_bytes} are allowed")
    return descriptor


def _check_index(data: bytes) -> Index:
    index = decode(data, Index, "index")
    if len(index.manifests or []) > MAX_MANIFESTS:
        raise invalid(f"the index names more than {MAX_MANIFESTS} manifests")
    for entry in index.manifests or []:
        check_descriptor(entry, MAX_MANIFEST_BYTES, "manifest")
    return index


def _check_manifest(data: bytes) -> Manifest:
    manifest = decode(data, Manifest, "manifest")
    kind = manifest.config.media_type.partition(";")[0].strip().lower()
    if kind and kind not in (OCI_CONFIG, DOCKER_CONFIG, *_SAYS_NOTHING):
        raise invalid(f"it is not a container image but {kind[:100]}")
    check_descriptor(manifest.config, MAX_CONFIG_BYTES, "image configuration")
    if len(manifest.layers or []) > MAX_LAYERS:
        raise invalid(f"the image has more than {MAX_LAYERS} layers")
    for layer in manifest.layers or []:
        check_descriptor(layer, MAX_LAYER_BYTES, "layer")
    return manifest


def _layer_fields(layer: Descriptor) -> tuple[str, int, str]:
    kind = layer.media_type
    if layer.urls or "nondistributable" in kind or "foreign" in kind:
        raise Error(
            "unsupported",
            f"layer {layer.digest} is a foreign layer ({kind[:100]}): the registry does not hold it",
            "use an image without foreign layers",
        )
    if kind not in COMPRESSION:
        raise Error(
            "unsupported",
            f"layer {layer.digest} is of type {kind[:100]!r}",
            "use an image with layers of type tar, tar+gzip or tar+zstd",
        )
    return layer.digest, layer.size, kind


def platform_of(entry: Descriptor) -> Platform | None:
    """None if no platform is named, and for attestations, whose platform is unknown/unknown."""
    fields = entry.platform
    if fields is None or fields.os in ("", "unknown"):
        return None
    return parse_platform_fields(fields.os, fields.architecture, fields.variant or "")
