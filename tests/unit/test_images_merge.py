"""Layers merged from the top down look as if they had been extracted from the bottom up."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.images.merge import merge_layers
from tests.support.layers import (
    Member,
    MemorySink,
    Seen,
    extract,
    layer_of,
    seen_in_model,
    seen_in_tree,
    tar_of,
)

NAMES = [b"a", b"b", b"c"]
PATHS = [*NAMES, *(x + b"/" + y for x in NAMES for y in NAMES), b"a/a/a", b"a/b/a", b"b/a/a", b"a/a/a/a"]


def merged(
    layers: Sequence[Sequence[Member]], directory: Path, how: str = ""
) -> tuple[dict[bytes, Seen], MemorySink]:
    sink = MemorySink()
    root = merge_layers([layer_of(tar_of(members), directory, how) for members in layers], sink)
    return seen_in_tree(root, sink), sink


@st.composite
def images(draw: st.DrawFn) -> list[list[Member]]:
    """Layers of which each entry can be extracted after those before it; order within a layer is any."""
    layers: list[list[Member]] = []
    for _ in range(draw(st.integers(1, 4))):
        layer: list[Member] = []
        layers.append(layer)
        for _ in range(draw(st.integers(0, 8))):
            member = draw(member_for(layers))
            try:
                extract([*layers[:-1], [*layer, member]])
            except (AssertionError, KeyError):
                continue
            layer.append(member)
    return layers


@st.composite
def member_for(draw: st.DrawFn, layers: list[list[Member]]) -> Member:
    path = draw(st.sampled_from(PATHS))
    kind = draw(
        st.sampled_from(["file", "file", "dir", "dir", "link", "link", "symlink", "fifo", "wh", "opq"])
    )
    above, _, name = path.rpartition(b"/")
    prefix = above + b"/" if above else b""
    if kind == "wh":
        return Member(prefix + b".wh." + name)
    if kind == "opq":
        return Member(prefix + b".wh..wh..opq")
    serial = sum(map(len, layers)) + 1
    data = b"%d" % serial if kind == "file" else b""
    target = draw(st.sampled_from(PATHS)) if kind in ("link", "symlink") else b""
    if kind == "link" and target == path:
        kind, target = "file", b""
    return Member(path, kind, data, target, mode=draw(st.integers(0, 0o7777)), uid=serial, mtime=serial)


@settings(max_examples=400, deadline=None)
@given(images())
def test_any_layers_look_as_if_extracted_one_after_the_other(layers: list[list[Member]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        found, _ = merged(layers, Path(directory))
    assert found == seen_in_model(extract(layers))
