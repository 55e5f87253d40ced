"""The format of catalogs: its schema, the built-in one, what is ignored and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from banger import __version__
from banger.catalogs.builtin import FILE, builtin_index
from banger.catalogs.index import check_usable, encode_index, parse_index, select
from banger.catalogs.schema import index_schema
from banger.errors import Error
from banger.model.catalog import DebianSource, ImageEntry, Index

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs/catalog.schema.json"
DIGEST = "sha256:" + "ab" * 32
ENTRY = {
    "name": "app",
    "aliases": ["application"],
    "architecture": "amd64",
    "digest": DIGEST,
    "sources": [{"type": "bundle", "digest": DIGEST, "size_bytes": 7}],
}
INDEX = {
    "format": 1,
    "name": "lab",
    "version": 3,
    "created": "2026-01-01T00:00:00Z",
    "expires": "2026-02-01T00:00:00Z",
    "images": [ENTRY],
}


def parse(**changes: Any) -> Index:
    return parse_index(json.dumps(INDEX | changes).encode())


def code_of(data: bytes) -> str:
    with pytest.raises(Error) as caught:
        parse_index(data)
    return caught.value.code


def test_the_schema_is_made_of_the_structs() -> None:
    """`python -m banger.catalogs.schema > docs/catalog.schema.json` makes it so."""
    assert json.loads(SCHEMA.read_text()) == index_schema()


@pytest.mark.parametrize("data", [FILE.read_bytes(), json.dumps(INDEX).encode()])
def test_what_we_read_fits_the_schema_and_comes_out_the_same(data: bytes) -> None:
    check = fastjsonschema.compile(json.loads(SCHEMA.read_text()))
    check(json.loads(data))
    index = parse_index(data)
    check(json.loads(encode_index(index)))
    assert parse_index(encode_index(index)) == index


def test_the_built_in_catalog_needs_nothing_but_the_archive() -> None:
    index = builtin_index()
    entries = [*index.images, *index.kernels]
    assert all(isinstance(source, DebianSource) for entry in entries for source in entry.sources)
    assert {entry.architecture for entry in entries} == {"amd64", "arm64"}
    names = (
        "debian-bookworm",
        "debian-trixie",
        *(f"debian-bookworm-{kind}" for kind in ("systemd", "dev", "builder")),
    )
    for name in names:
        assert select(index.images, name, "amd64") and select(index.images, name, "arm64")
    for image in index.images:
        assert not image.kernel or select(index.kernels, image.kernel, image.architecture)
    of_kernels = [source for kernel in index.kernels for source in kernel.sources]
    assert {s.suite for s in of_kernels if isinstance(s, DebianSource)} == {"bookworm", "trixie"}


def test_what_only_a_newer_banger_knows_is_passed_over() -> None:
    foreign = {"type": "torrent", "magnet": 1}
    entry = ENTRY | {"sources": [foreign, *ENTRY["sources"]], "colour": "red"}
    index = parse(images=[entry], networks=[1], mood={"good": True})
    assert index == parse()
    with pytest.raises(Error) as caught:
        check_usable(parse(images=[ENTRY | {"sources": [foreign]}]).images[0])
    assert caught.value.code == "unsupported"


def test_an_entry_may_need_a_newer_banger() -> None:
    for old_enough in ("0.0.9", __version__, f"{__version__}.0"):
        check_usable(parse(images=[ENTRY | {"min_banger": old_enough}]).images[0])
    with pytest.raises(Error) as caught:
        check_usable(parse(images=[ENTRY | {"min_banger": "99.1"}]).images[0])
    assert caught.value.code == "unsupported" and "99.1" in caught.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../../etc"},
        {"name": "lab\n"},
        {"version": 0},
        {"version": "7"},
        {"created": "yesterday"},
        {"images": [ENTRY, ENTRY]},
        {"images": [ENTRY | {"name": "a/b"}]},
        {"images": [ENTRY | {"architecture": "../x"}]},
        {"images": [ENTRY | {"init": "sh"}]},
        {"images": [ENTRY | {"digest": "md5:1"}]},
        {"images": [ENTRY | {"sources": [{"type": "bundle", "digest": DIGEST, "size_bytes": -1}]}]},
        {"images": [ENTRY | {"sources": [{"type": "oci", "reference": "registry.example.org/app:latest"}]}]},
        {"images": [ENTRY | {"sources": [{"type": "debian", "suite": "x y", "packages": []}]}]},
        {"images": [ENTRY | {"sources": [{"type": "debian", "suite": "sid", "packages": ["-o=x"]}]}]},
        {"images": [ENTRY | {"sources": [{"type": "debian", "suite": "sid", "packages": ["?all"]}]}]},
        {"images": [ENTRY | {"sources": "all"}]},
        {"images": {"app": 1}},
    ],
)
def test_what_no_index_may_say_is_refused(changes: dict[str, Any]) -> None:
    assert code_of(json.dumps(INDEX | changes).encode()) == "catalog_invalid"


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"format": 1}', b"{}"])
def test_what_is_no_index_is_refused(data: bytes) -> None:
    assert code_of(data) == "catalog_invalid"


def test_a_format_of_the_future_is_told_apart() -> None:
    assert code_of(json.dumps(INDEX | {"format": 2, "images": "elsewhere"}).encode()) == "unsupported"


def test_a_name_goes_before_an_alias_and_an_architecture_has_its_own() -> None:
    alias = ImageEntry(name="a", aliases=("b",), architecture="amd64", sources=())
    name = ImageEntry(name="b", architecture="amd64", sources=())
    other = ImageEntry(name="b", architecture="arm64", sources=())
    assert select([alias, name, other], "b", "amd64") is name
    assert select([alias, other], "b", "amd64") is alias
    assert select([alias, name, other], "b", "arm64") is other
    assert select([alias], "b", "riscv64") is None
