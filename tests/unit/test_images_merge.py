"""Layers merged from the top down look as if they had been extracted from the bottom up."""

from __future__ import annotations

import gzip
import os
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.errors import Error
from banger.images.disks.merge import LayerInput, Limits, merge_layers
from banger.tar.kind import Kind
from tests.support.layers import (
    END,
    Member,
    MemorySink,
    base256,
    compress,
    digest,
    extended,
    extract,
    header,
    layer_of,
    padded,
    seen_in_model,
    seen_in_tree,
    tar_of,
)
from tests.support.oracle import Tree

MODEL_EXAMPLES = int(os.environ.get("BANGER_MODEL_EXAMPLES", "300"))
NAMES = [b"a", b"b", b"c"]
PATHS = [*NAMES, *(x + b"/" + y for x in NAMES for y in NAMES), b"a/a/a", b"a/b/a", b"b/a/a", b"a/a/a/a"]
TARGETS = [*PATHS, b"/", b".", b"..", b"../b", b"/a/b", b"./c/../a/", b"../../c/nothing"]


def merged(layers: Sequence[Sequence[Member]], directory: Path, how: str = "") -> tuple[Tree, MemorySink]:
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
    target = draw(st.sampled_from(PATHS if kind == "link" else TARGETS)) if kind.endswith("link") else b""
    if kind == "link" and target == path:
        kind, target = "file", b""
    return Member(path, kind, data, target, mode=draw(st.integers(0, 0o7777)), uid=serial, mtime=serial)


@settings(max_examples=MODEL_EXAMPLES, deadline=None)
@given(images())
def test_any_layers_look_as_if_extracted_one_after_the_other(layers: list[list[Member]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        found, _ = merged(layers, Path(directory))
    assert found == seen_in_model(extract(layers))


def file(name: bytes, data: bytes = b"", mode: int = 0o644) -> Member:
    return Member(name, "file", data or name, mode=mode)


def folder(name: bytes, mode: int = 0o755, uid: int = 0) -> Member:
    return Member(name, "dir", mode=mode, uid=uid)


def link(name: bytes, target: bytes) -> Member:
    return Member(name, "link", target=target)


def symlink(name: bytes, target: bytes) -> Member:
    return Member(name, "symlink", target=target)


def refusal(directory: Path, *layers: Sequence[Member] | bytes, limits: Limits | None = None) -> Error:
    tars = [layer if isinstance(layer, bytes) else tar_of(layer) for layer in layers]
    before = set(threading.enumerate())
    with pytest.raises(Error) as caught:
        merge_layers([layer_of(tar, directory) for tar in tars], MemorySink(), limits)
    assert set(threading.enumerate()) <= before
    return caught.value


def test_no_layers_make_an_empty_root() -> None:
    root = merge_layers([], MemorySink())
    assert (root.kind, root.mode, root.children) == (Kind.DIRECTORY, 0o755, {})


def test_the_root_has_metadata_too(tmp_path: Path) -> None:
    found, _ = merged([[Member(b"./", "dir", mode=0o700, uid=3)], [file(b"a")]], tmp_path)
    assert (found[b""].mode, found[b""].uid) == (0o700, 3)


@pytest.mark.parametrize(
    ("layers", "left"),
    [
        ([[file(b"a")], [file(b".wh.a")]], []),
        ([[file(b"d/a"), file(b"d/b")], [file(b"d/.wh.a")]], [b"d", b"d/b"]),
        ([[file(b"d/a"), file(b"d/b")], [file(b".wh.d")]], []),
        ([[file(b"d/a"), file(b"d/b")], [file(b"d/.wh..wh..opq"), file(b"d/c")]], [b"d", b"d/c"]),
        ([[file(b"d/a")], [file(b"d/c"), file(b"d/.wh..wh..opq")]], [b"d", b"d/c"]),
        ([[file(b"a")], [file(b".wh..wh..opq"), file(b"b")]], [b"b"]),
        ([[file(b"a")], [file(b"a", b"new"), file(b".wh.a")]], [b"a"]),
        ([[file(b"d/a")], [file(b".wh.d"), file(b"d/b")]], [b"d", b"d/b"]),
        ([[file(b"d/a")], [file(b"d/b"), file(b".wh.d")]], [b"d", b"d/b"]),
        ([[file(b"d/a")], [file(b"d")]], [b"d"]),
        ([[file(b"d/a")], [file(b"d")], [folder(b"d")]], [b"d"]),
        ([[file(b"d/a")], [file(b"d"), folder(b"d"), file(b"d/b")]], [b"d", b"d/b"]),
        ([[file(b"d/a")], [folder(b"d"), file(b"d")]], [b"d"]),
        ([[file(b"a")], [file(b".wh.nothing"), file(b"no/.wh.thing"), file(b"x/.wh..wh..opq")]], [b"a"]),
        ([[file(b"a")], [file(b"a/.wh.b")]], [b"a"]),
        ([[file(b"a/b/c")], [file(b"a/b/.wh.c")]], [b"a", b"a/b"]),
        ([[file(b"a/b/c")], [file(b"a/.wh.b")], [file(b"a/b/d")]], [b"a", b"a/b", b"a/b/d"]),
        ([[file(b"a/b/c")], [file(b".wh.a")], [folder(b"a/b")]], [b"a", b"a/b"]),
        ([[file(b".wh..wh.aufs"), file(b".wh..wh.plnk/1.2"), file(b"d/.wh..wh.orph")]], []),
        ([[file(b"a.wh.b"), file(b"d.wh./x")]], [b"a.wh.b", b"d.wh.", b"d.wh./x"]),
    ],
)
def test_whiteouts_hide_what_lies_below_them(
    layers: list[list[Member]], left: list[bytes], tmp_path: Path
) -> None:
    found, _ = merged(layers, tmp_path)
    assert sorted(found) == sorted([b"", *left])


@pytest.mark.parametrize(
    ("layers", "left"),
    [
        ([[symlink(b"l", b"d"), file(b"l/a")]], [b"d", b"d/a", b"l"]),
        ([[folder(b"d"), symlink(b"l", b"d")], [file(b"l/a")]], [b"d", b"d/a", b"l"]),
        (
            [[folder(b"d"), symlink(b"l", b"d")], [folder(b"l/s"), file(b"l/s/a")]],
            [b"d", b"d/s", b"d/s/a", b"l"],
        ),
        ([[folder(b"d"), symlink(b"l", b"d")], [folder(b"l"), file(b"l/a")]], [b"d", b"l", b"l/a"]),
        ([[symlink(b"l", b"/d/../../d"), file(b"l/a")]], [b"d", b"d/a", b"l"]),
        ([[symlink(b"x/l", b"../../../d"), file(b"x/l/a")]], [b"d", b"d/a", b"x", b"x/l"]),
        ([[symlink(b"l", b"m"), symlink(b"m", b"d/e"), file(b"l/a")]], [b"d", b"d/e", b"d/e/a", b"l", b"m"]),
        ([[file(b"d/a"), symlink(b"l", b"d")], [file(b"l/.wh.a")]], [b"d", b"l"]),
        (
            [[file(b"d/a"), symlink(b"l", b"d")], [file(b"l/.wh..wh..opq"), file(b"l/b")]],
            [b"d", b"d/b", b"l"],
        ),
        ([[file(b"d/a")], [symlink(b"l", b"d"), file(b"l/.wh.a")]], [b"d", b"l"]),
        ([[folder(b"d"), symlink(b"l", b"d")], [file(b"l/a")], [file(b".wh.l")]], [b"d", b"d/a"]),
        ([[folder(b"d"), symlink(b"l", b"d")], [file(b"l/a")], [file(b"d/.wh.a")]], [b"d", b"l"]),
        ([[folder(b"d"), symlink(b"l", b"d")], [file(b".wh.l"), file(b"l/a")]], [b"d", b"l", b"l/a"]),
        ([[folder(b"d"), symlink(b"l", b"d")], [file(b"l")], [file(b"l/.wh.a")]], [b"d", b"l"]),
        ([[file(b"d/a"), symlink(b"l", b"d")], [], [link(b"b", b"l/a")]], [b"b", b"d", b"d/a", b"l"]),
        ([[symlink(b"l", b"l")], [file(b"l/.wh.a"), file(b"l/x/.wh..wh..opq")]], [b"l"]),
        ([[symlink(b"l", b"d"), link(b"m", b"l")], [file(b"m/a")]], [b"d", b"d/a", b"l", b"m"]),
        ([[symlink(b"l", b"d")], [link(b"m", b"l")], [file(b"m/a")]], [b"d", b"d/a", b"l", b"m"]),
    ],
)
def test_names_go_through_links_inside_the_image(
    layers: list[list[Member]], left: list[bytes], tmp_path: Path
) -> None:
    found, _ = merged(layers, tmp_path)
    assert sorted(found) == sorted([b"", *left])
    assert found == seen_in_model(extract(layers))


@pytest.mark.parametrize("whiteout", [b"a/.wh..wh..opq", b"a/.wh.b"])
@pytest.mark.parametrize("below", [[], [folder(b"a")]])
def test_a_whiteout_through_a_link_that_replaced_a_directory(
    tmp_path: Path, whiteout: bytes, below: list[Member]
) -> None:
    """The directory is only implied, by an entry that comes before the link."""
    layers = [[*below, file(b"b")], [file(b"a/a"), symlink(b"a", b"/"), Member(whiteout)]]
    found, _ = merged(layers, tmp_path)
    assert found == seen_in_model(extract(layers)) and b"b" not in found


@pytest.mark.parametrize("replaced_by", [file(b"a/a/a", b"4"), folder(b"a/a/a")])
def test_a_whiteout_goes_through_a_link_that_its_layer_replaces_later(
    tmp_path: Path, replaced_by: Member
) -> None:
    layers = [[folder(b"a", 0, uid=1), symlink(b"a/a/a", b"/")], [Member(b"a/a/a/.wh.a"), replaced_by]]
    found, _ = merged(layers, tmp_path)
    assert found == seen_in_model(extract(layers))


def test_a_name_through_a_link_replaces_what_is_there(tmp_path: Path) -> None:
    lower = [file(b"usr/lib/a", b"old"), folder(b"usr/lib", 0o711), symlink(b"lib", b"usr/lib")]
    found, sink = merged([lower, [file(b"lib/a", b"new"), link(b"c", b"lib/a")]], tmp_path)
    assert (found[b"usr/lib/a"].contents, found[b"c"].contents, found[b"usr/lib"].mode) == (
        b"new",
        b"new",
        0o711,
    )
    assert sink.files == [b"new"]


def test_a_link_to_a_name_that_cannot_be_makes_no_directory(tmp_path: Path) -> None:
    error = refusal(tmp_path, [symlink(b"s", b"x" * 300), file(b"s/a")])
    assert error.code == "layer_refused" and "255" in error.message
    deep = [symlink(b"s", b"a/" * 2000), file(b"s/" + b"a/" * 100 + b"x")]
    assert "deep" in refusal(tmp_path, deep).message


def test_links_that_multiply_their_steps_are_not_followed_for_ever(tmp_path: Path) -> None:
    chain = [symlink(b"l%d" % n, b"./" * 2000 + b"l%d" % (n + 1)) for n in range(38)]
    many = [file(b"l0/%d" % n) for n in range(400)]
    error = refusal(tmp_path, [*chain, symlink(b"l38", b"."), *many])
    assert error.code == "layer_too_large" and "too many symbolic links" in error.message


def test_a_directory_without_an_entry_takes_the_metadata_below(tmp_path: Path) -> None:
    lowest = [folder(b"d", 0o700, uid=5), folder(b"e", 0o711, uid=6), folder(b"f", 0o722, uid=7)]
    layers = [lowest, [file(b"d/a")], [file(b".wh.e"), file(b"e/a"), file(b"f/.wh..wh..opq"), file(b"g/a")]]
    found, _ = merged(layers, tmp_path)
    assert [(found[n].mode, found[n].uid) for n in (b"d", b"e", b"f", b"g")] == [
        (0o700, 5),
        (0o755, 0),
        (0o722, 7),
        (0o755, 0),
    ]


def test_what_is_hidden_is_not_written(tmp_path: Path) -> None:
    layers = [
        [file(b"a", b"1" * 5000), file(b"d/b", b"2" * 5000), file(b"c", b"3")],
        [file(b"a", b"4"), file(b".wh.d")],
    ]
    _, sink = merged(layers, tmp_path)
    assert sorted(sink.files) == [b"3", b"4"]


def test_a_link_keeps_a_file_that_a_higher_layer_replaced(tmp_path: Path) -> None:
    found, sink = merged([[file(b"a", b"old"), link(b"b", b"a")], [file(b"a", b"new")]], tmp_path)
    assert (found[b"a"].contents, found[b"b"].contents) == (b"new", b"old")
    assert sorted(sink.files) == [b"new", b"old"]


def test_a_link_may_be_to_a_file_of_a_lower_layer(tmp_path: Path) -> None:
    layers = [
        [file(b"x", b"lowest"), file(b"a", b"1"), file(b"h", b"2")],
        [link(b"b", b"a"), link(b"i", b"h"), link(b"y", b"x")],
        [file(b".wh.h"), link(b"c", b"./b"), link(b"z", b"/y"), file(b"y", b"new")],
    ]
    found, _ = merged(layers, tmp_path)
    assert found[b"c"].names == {b"a", b"b", b"c"}
    assert (found[b"i"].names, found[b"i"].contents) == (frozenset({b"i"}), b"2")
    assert (found[b"z"].names, found[b"z"].contents) == (frozenset({b"z", b"x"}), b"lowest")


def test_a_link_has_the_target_of_its_place_in_the_archive(tmp_path: Path) -> None:
    layer = [file(b"a", b"1"), link(b"b", b"a"), file(b"a", b"2"), link(b"c", b"a")]
    found, _ = merged([layer], tmp_path)
    assert [found[n].contents for n in (b"a", b"b", b"c")] == [b"2", b"1", b"2"]


def test_links_may_be_to_anything_but_directories(tmp_path: Path) -> None:
    layer = [symlink(b"s", b"/nowhere"), link(b"t", b"s"), Member(b"p", "fifo"), link(b"q", b"p")]
    found, _ = merged([layer], tmp_path)
    assert found[b"t"].names == {b"s", b"t"} and found[b"q"].kind is Kind.FIFO


def test_every_kind_keeps_its_metadata(tmp_path: Path) -> None:
    layer = [
        Member(b"f", mode=0o6755, uid=4294967294, gid=70000, mtime=-1.5),
        Member(b"c", "char", device=(1, 3), mode=0o666),
        Member(b"b", "block", device=(259, 70000), pax={"SCHILY.xattr.user.a": "b"}),
        symlink(b"s", b"../\xff\n"),
        Member(b"p", "fifo", mtime=1.25),
    ]
    found, _ = merged([layer], tmp_path)
    expected = {**seen_in_model(extract([layer]))}
    assert found == expected


@pytest.mark.parametrize(
    "name",
    [b"new\nline", b"quote'\"", b"\x01\x7f\x1b[2J", b"\xff\xfe", b"x" * 255, b"\\", b" ", b"-rf", b"*"],
)
def test_names_that_are_hard_for_others_are_names(name: bytes, tmp_path: Path) -> None:
    found, _ = merged([[file(name, b"1"), file(b"d/" + name, b"2")], [link(b"l", name)]], tmp_path)
    assert found[name].contents == b"1" and found[b"d/" + name].contents == b"2"
    assert found[b"l"].names == {name, b"l"}


@pytest.mark.parametrize(
    ("layers", "entry", "says"),
    [
        ([[file(b"../a")]], "../a", "leads out of the image"),
        ([[file(b"/../a")]], "/../a", "leads out of the image"),
        ([[file(b"x/../../a")]], "x/../../a", "leads out of the image"),
        ([[file(b"y" * 256)]], "y" * 160 + "...", "more than 255 bytes"),
        ([[file(b"a"), link(b"l", b"../a")]], "l", "leads out of the image"),
        ([[link(b"l", b"a")]], "l", "does not exist"),
        ([[link(b"l", b"l")]], "l", "to itself"),
        ([[folder(b"d"), link(b"l", b"d")]], "l", "to a directory"),
        ([[folder(b"d")], [link(b"l", b"d")]], "l", "to a directory"),
        ([[symlink(b"s", b"/etc"), link(b"l", b"s/passwd")]], "l", "does not exist"),
        ([[symlink(b"s", b"/etc")], [link(b"l", b"s/passwd")]], "l", "does not exist"),
        ([[symlink(b"s", b"s")], [link(b"l", b"s/passwd")]], "l", "does not exist"),
        ([[folder(b"d"), symlink(b"s", b".")], [link(b"l", b"s/d")]], "l", "to a directory"),
        ([[file(b"f"), symlink(b"s", b".")], [link(b"f", b"s/f")]], "f", "to itself"),
        ([[file(b"f")], [link(b"l", b"f/x")]], "l", "does not exist"),
        ([[file(b"a")], [file(b".wh.a")], [link(b"l", b"a")]], "l", "does not exist"),
        ([[file(b"d/a")], [file(b"d/.wh..wh..opq")], [link(b"l", b"d/a")]], "l", "does not exist"),
        ([[file(b"d/a")], [file(b"d"), folder(b"d"), link(b"l", b"d/a")]], "l", "does not exist"),
        ([[file(b"f"), file(b"f/x")]], "f/x", "lies below"),
        ([[symlink(b"s", b"f"), file(b"f"), file(b"s/x")]], "s/x", "lies below"),
        ([[symlink(b"s", b"t"), symlink(b"t", b"s"), file(b"s/x")]], "s/x", "loop"),
        ([[file(b"f")], [file(b"f/x")]], "f/x", "lies below"),
        ([[symlink(b"s", b"f"), file(b"f")], [file(b"s/x")]], "s/x", "lies below"),
        ([[file(b".wh.")]], ".wh.", "whiteout that names no file"),
        ([[file(b"d/.wh...")]], "d/.wh...", "whiteout that names no file"),
        ([[file(b".wh.a/b")]], ".wh.a/b", "below a whiteout"),
        ([[file(b".")]], ".", "must be a directory"),
        ([extended((b"path", b"a\0b")) + header(b"a") + END], "a\\x00b", "NUL"),
        ([header(b"a", 600) + bytes(512)], "a", "ends in the middle"),
        ([header(b"a", base256(1 << 50, 12)) + END], "a", "its length is"),
        ([header(b"dev", flag=b"Z") + END], "dev", "its type"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    layers: list[list[Member] | bytes], entry: str, says: str, tmp_path: Path
) -> None:
    tars = [layer if isinstance(layer, bytes) else b"".join(map(raw, layer)) + END for layer in layers]
    error = refusal(tmp_path, *tars)
    assert error.code in ("layer_refused", "layer_corrupt", "layer_too_large")
    assert error.details["entry"] == entry and says in error.message
    number = error.details["layer"]
    assert isinstance(number, int) and error.details["digest"] == digest(tars[number - 1])
    assert f"layer {number} (sha256:" in error.message and f"'{entry}'" in error.message


def raw(member: Member) -> bytes:
    """Without tarfile, which tidies names."""
    flags = {"file": b"0", "dir": b"5", "link": b"1", "symlink": b"2"}
    long = extended((b"path", member.name)) if len(member.name) > 100 else b""
    head = header(member.name[:100], len(member.data), flags[member.kind], member.target, mode=member.mode)
    return long + head + padded(member.data)


@pytest.mark.parametrize("how", ["", "gzip", "zstd"])
def test_layers_may_be_compressed(how: str, tmp_path: Path) -> None:
    layers = [[file(b"a", b"1" * 3_000_000)], [file(b"b", bytes(range(256)) * 9000)]]
    found, _ = merged(layers, tmp_path, how)
    assert found == seen_in_model(extract(layers))


def in_members(tar: bytes) -> bytes:
    return gzip.compress(tar[:700]) + gzip.compress(b"") + gzip.compress(tar[700:]) + bytes(100)


def in_frames(tar: bytes) -> bytes:
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    return skippable + zstandard.compress(tar[:700]) + skippable + zstandard.compress(tar[700:])


@pytest.mark.parametrize("split", [in_members, in_frames])
def test_layers_may_be_compressed_in_parts(split: object, tmp_path: Path) -> None:
    assert callable(split)
    tar = tar_of([file(b"a", b"x" * 5000)])
    path = tmp_path / "blob"
    path.write_bytes(b"before" + split(tar) + b"after")
    layer = LayerInput("sha256:0", digest(tar), path, 6, len(split(tar)))
    sink = MemorySink()
    assert list(merge_layers([layer], sink).children) == [b"a"]


def test_what_follows_the_archive_counts_for_the_diff_id(tmp_path: Path) -> None:
    tar = tar_of([file(b"a")]) + b"\1" * 3_000_000
    assert list(merge_layers([layer_of(tar, tmp_path, "gzip")], MemorySink()).children) == [b"a"]


@pytest.mark.parametrize("how", ["", "gzip", "zstd"])
@pytest.mark.parametrize("damage", ["cut", "flip", "diff-id", "garbage"])
def test_damaged_layers_are_told(how: str, damage: str, tmp_path: Path) -> None:
    tar = tar_of([file(b"a", bytes(range(256)) * 100)])
    blob = bytearray(compress(tar, how))
    if damage == "cut":
        del blob[len(blob) * 2 // 3 :]
    elif damage == "flip":
        blob[len(blob) // 2] ^= 0x10
    elif damage == "garbage":
        blob += b"garbage"
    path = tmp_path / "blob"
    path.write_bytes(blob)
    layer = LayerInput("sha256:1", digest(tar + b"x" if damage == "diff-id" else tar), path)
    with pytest.raises(Error) as caught:
        merge_layers([layer], MemorySink())
    assert caught.value.code == "layer_corrupt"
    assert caught.value.details["layer"] == 1


@pytest.mark.parametrize("magic", [b"BZh91AY&SY", b"\xfd7zXZ\0\0"])
def test_other_compressions_are_refused_by_name(magic: bytes, tmp_path: Path) -> None:
    error = refusal(tmp_path, magic + bytes(1024))
    assert error.code == "layer_refused" and "compressed with" in error.message


@pytest.mark.parametrize("diff_id", ["", "md5:00", "sha256:", "sha256"])
def test_unknown_digests_are_refused(diff_id: str, tmp_path: Path) -> None:
    layer = replace(layer_of(END, tmp_path), diff_id=diff_id)
    with pytest.raises(Error, match="diff-id"):
        merge_layers([layer], MemorySink())


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(inflated_bytes=5_000_000), "inflates to more bytes"),
        (Limits(entries=3), "more than 3 entries"),
        (Limits(metadata_bytes=10), "more than 10 bytes"),
        (Limits(file_bytes=100), "its length is"),
        (Limits(xattr_bytes=3), "extended attributes"),
    ],
)
def test_limits_hold(limits: Limits, says: str, tmp_path: Path) -> None:
    layers = [
        [file(b"a/b/c", b"1" * 3_000_000)],
        [Member(b"x", data=b"2" * 3_000_000, pax={"SCHILY.xattr.user.a": "b"}), file(b"d")],
    ]
    error = refusal(tmp_path, *layers, limits=limits)
    assert error.code == "layer_too_large" and says in error.message


def test_progress_adds_up_to_the_blobs(tmp_path: Path) -> None:
    layers = [layer_of(tar_of([file(b"a", b"1" * 5_000_000)]), tmp_path, how) for how in ("", "gzip", "zstd")]
    heard: list[int] = []
    merge_layers(layers, MemorySink(), report=heard.append)
    assert sum(heard) == sum(layer.path.stat().st_size for layer in layers)


def test_a_second_pass_is_not_counted_twice(tmp_path: Path) -> None:
    tars = [tar_of([file(b"a", b"old"), link(b"b", b"a")]), tar_of([file(b"a", b"new")])]
    heard: list[int] = []
    limits = Limits(inflated_bytes=sum(map(len, tars)))
    merge_layers([layer_of(tar, tmp_path) for tar in tars], MemorySink(), limits, heard.append)
    assert sum(heard) == sum(map(len, tars))


def test_a_cancelled_merge_ends_with_its_threads(tmp_path: Path) -> None:
    cancel = threading.Event()
    before = set(threading.enumerate())
    layer = layer_of(tar_of([file(b"a", b"1" * 20_000_000)]), tmp_path)
    with pytest.raises(Error) as caught:
        merge_layers([layer], MemorySink(), report=lambda _: cancel.set(), cancel=cancel)
    assert caught.value.code == "cancelled"
    assert set(threading.enumerate()) <= before


def test_a_disk_that_is_full_ends_the_merge_with_its_threads(tmp_path: Path) -> None:
    class Full(MemorySink):
        def add_file(self, data: bytes | memoryview) -> bytes:
            raise Error("insufficient_disk", "full")

    before = set(threading.enumerate())
    layer = layer_of(tar_of([file(b"a", b"1"), file(b"b", b"1" * 20_000_000)]), tmp_path)
    with pytest.raises(Error, match="full"):
        merge_layers([layer], Full())
    assert set(threading.enumerate()) <= before


def test_a_layer_that_is_gone_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        merge_layers([LayerInput("sha256:1", digest(b""), tmp_path / "none")], MemorySink())


def test_directories_may_be_as_deep_as_names_are_long(tmp_path: Path) -> None:
    deep = b"d/" * 2000
    found, _ = merged([[file(deep + b"a")], [file(deep + b"b"), file(deep + b".wh.a")]], tmp_path)
    assert len(found) == 2002 and deep + b"b" in found


@settings(max_examples=150, deadline=None)
@given(st.binary(min_size=1, max_size=3000), st.sampled_from(["gzip", "zstd", ""]))
def test_any_bytes_are_an_error_or_a_tree(data: bytes, how: str) -> None:
    starts = {"gzip": b"\x1f\x8b\x08\0", "zstd": b"\x28\xb5\x2f\xfd", "": b""}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "blob"
        path.write_bytes(starts[how] + data)
        try:
            merge_layers([LayerInput("sha256:1", digest(data), path)], MemorySink())
        except Error as exc:
            assert exc.code.startswith("layer_")
