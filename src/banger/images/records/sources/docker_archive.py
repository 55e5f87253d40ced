"""The older form of `docker save`: manifest.json names a configuration and layers, all members of the tar file.

Newer archives also contain an OCI layout, which is then used (see `saved`). Blobs have no digests here: the digest of
an uncompressed layer is its diff-id; a compressed layer is read to find its digest. Source: Docker image specification
v1.2, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import re
from dataclasses import replace

from msgspec import Struct

from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.lifeline import Lifeline, on_lifeline
from banger.images.fetch.verify import hash_blob
from banger.images.records.sources.archive import Archive
from banger.images.records.sources.documents import not_there
from banger.images.records.sources.forms import form_of, layer_type
from banger.images.records.sources.layout import open_checked, read_file
from banger.images.reference.documents import (
    LAYER_TAR,
    MAX_CONFIG_BYTES,
    MAX_LAYER_BYTES,
    MAX_LAYERS,
    MAX_MANIFEST_BYTES,
    Config,
    ImagePlan,
    Layer,
    decode,
    digest_of,
    invalid,
    parse_config,
    plan_layers,
)
from banger.images.reference.platform import Platform
from banger.images.reference.reference import parse_reference
from banger.model.operation import Report

MANIFEST_FILE = "manifest.json"
_NAMED_BY_DIGEST = re.compile(r"(?:blobs/sha256/)?([0-9a-f]{64})(?:\.json)?")


class Entry(Struct, rename="pascal"):
    """One image of the archive, with names of members."""

    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None


class DockerArchiveSource:
    """Owns nothing: the caller that opened `archive` closes it."""

    def __init__(self, archive: Archive, wanted: str) -> None:
        self._archive = archive
        self._wanted = wanted
        self._members: dict[str, str] = {}

    async def resolve(self, platform: Platform, report: Report) -> ImagePlan:
        report("resolve", self._archive.name)
        return await on_lifeline(lambda line: self._resolve(platform, line))

    async def prefetch(self, plan: ImagePlan, report: Report) -> None:
        """Does nothing: everything is on this host."""

    async def open_layer(self, layer: Layer) -> ByteRange:
        return await open_checked(self._archive, self._members[layer.digest], layer)

    def _resolve(self, platform: Platform, line: Lifeline) -> ImagePlan:
        data = read_file(self._archive, MANIFEST_FILE, MAX_MANIFEST_BYTES)
        entries = decode(data, list[Entry], f"{MANIFEST_FILE} of {self._archive.name}")
        entry = select_entry(entries, self._wanted, self._archive.name)
        config, digest = self._read_config(entry)
        plan = plan_layers(self._layers(entry, config, line), config, digest, platform, self._archive.name)
        called, *also = entry.repo_tags or [""]
        return replace(plan, called=called, also=tuple(also))

    def _read_config(self, entry: Entry) -> tuple[Config, str]:
        data = read_file(self._archive, entry.config, MAX_CONFIG_BYTES)
        digest = digest_of(data)
        named = _NAMED_BY_DIGEST.fullmatch(entry.config)
        if named and digest != f"sha256:{named[1]}":
            raise invalid(f"{self._archive.name}: {entry.config} is damaged")
        return parse_config(data), digest

    def _layers(self, entry: Entry, config: Config, line: Lifeline) -> list[tuple[str, int, str]]:
        names, diff_ids = entry.layers or [], config.rootfs.diff_ids or []
        if len(names) > MAX_LAYERS:
            raise invalid(f"the image has more than {MAX_LAYERS} layers")
        found = []
        for number, name in enumerate(names):
            claimed = diff_ids[number] if number < len(diff_ids) else ""
            found.append(self._layer(name, claimed, line))
            self._members[found[-1][0]] = name
        return found

    def _layer(self, name: str, diff_id: str, line: Lifeline) -> tuple[str, int, str]:
        with self._archive.open(name) as blob:
            kind = layer_type(blob)
            if kind is None or blob.size > MAX_LAYER_BYTES:
                raise invalid(
                    f"{self._archive.name}: {name[:200]!r} is not a layer but {form_of(blob).value}"
                )
            return (diff_id if kind == LAYER_TAR else hash_blob(blob, line)), blob.size, kind


def select_entry(entries: list[Entry], wanted: str, name: str) -> Entry:
    """The image that a reference or "@N" names, or the only one. Raises `image_not_found`, `bad_reference`."""
    if wanted.startswith("@") and wanted[1:].isdecimal():
        found = entries[int(wanted[1:5]) :][:1]
    elif wanted:
        canonical = parse_reference(wanted).canonical
        found = [
            entry for entry in entries if canonical in (entry.repo_tags or []) or canonical in _tags(entry)
        ]
    else:
        found = entries
    found = list({(entry.config, *(entry.layers or [])): entry for entry in found}.values())
    if len(found) != 1:
        raise not_there(name, wanted, sorted(tag for entry in entries for tag in entry.repo_tags or []))
    return found[0]


def _tags(entry: Entry) -> set[str]:
    return {parse_reference(tag).canonical for tag in entry.repo_tags or []}
