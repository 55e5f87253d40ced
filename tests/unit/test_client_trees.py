"""Trees as tar: ours packed, a hostile guest's unpacked without harm."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.client.trees import pack_tree, safe_parts, stays_inside, unpack_tree
from banger.errors import Error

Member = tuple[tarfile.TarInfo, bytes]


def member(
    name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", link: str = "", mode: int = 0o644
) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(data)
    return info, data


def stream(*members: Member) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


ROOT = member("tree", tarfile.DIRTYPE, mode=0o755)


def unpack(directory: Path, *members: Member) -> list[str]:
    return unpack_tree([stream(*members)], lambda is_directory: (str(directory), "here"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A destination, beside a file that must not change."""
    (tmp_path / "secret").write_text("mine")
    place = tmp_path / "place"
    place.mkdir()
    return place


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub/empty").mkdir(parents=True)
    (source / "a").write_bytes(os.urandom(200_000))
    (source / "run").write_text("#!/bin/sh")
    (source / "run").chmod(0o755)
    (source / "sub/soft").symlink_to("../a")
    os.link(source / "a", source / "sub/hard")
    os.mkfifo(source / "pipe")
    left_out = unpack_tree(pack_tree(str(source), "source"), lambda _: (str(tmp_path), "copy"))
    copy = tmp_path / "copy"
    assert left_out == ["source/pipe"]
    assert (copy / "a").read_bytes() == (source / "a").read_bytes()
    assert (copy / "sub/soft").readlink() == Path("../a")
    assert (copy / "sub/hard").samefile(copy / "a")
    assert (copy / "sub/empty").is_dir()
    assert stat.S_IMODE((copy / "run").stat().st_mode) == 0o755


def test_packing_gives_a_plain_tar_with_roots_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with tarfile.open(fileobj=io.BytesIO(b"".join(pack_tree(str(tmp_path), ".")))) as tar:
        assert tar.getnames() == [".", "./file"]
        assert {(info.uid, info.gid) for info in tar} == {(0, 0)}


def test_a_file_that_shrinks_while_it_is_packed_is_filled_up(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(bytes(300_000))
    pieces = pack_tree(str(tmp_path / "log"), "log")
    first = next(pieces)
    (tmp_path / "log").write_bytes(b"")
    with tarfile.open(fileobj=io.BytesIO(first + b"".join(pieces))) as tar:
        assert tar.getmembers()[0].size == 300_000


def test_the_root_gets_the_name_that_was_asked_for(place: Path) -> None:
    assert unpack(place, member("hosts", data=b"x")) == []
    assert (place / "here").read_bytes() == b"x"


def test_the_contents_alone_go_into_the_directory(place: Path) -> None:
    data = stream(member(".", tarfile.DIRTYPE), member("./a", data=b"1"))
    assert unpack_tree([data], lambda _: (str(place), "")) == []
    assert (place / "a").read_bytes() == b"1"


HOSTILE: list[tuple[str, list[Member]]] = [
    ("absolute name", [ROOT, member("/etc/x", data=b"bad")]),
    ("name with ..", [ROOT, member("tree/../../secret", data=b"bad")]),
    ("only ..", [member("..", tarfile.DIRTYPE)]),
]


@pytest.mark.parametrize("members", [members for _, members in HOSTILE], ids=[name for name, _ in HOSTILE])
def test_names_that_lead_out_are_refused(place: Path, members: list[Member]) -> None:
    with pytest.raises(Error, match="leads out of the tree"):
        unpack(place, *members)
    assert (place.parent / "secret").read_text() == "mine"


@pytest.mark.parametrize(
    "members",
    [
        [member("tree/dev", tarfile.CHRTYPE)],
        [member("tree/dev", tarfile.BLKTYPE)],
        [member("tree/fifo", tarfile.FIFOTYPE)],
        [member("tree/link", tarfile.SYMTYPE, link="/etc/passwd")],
        [member("tree/link", tarfile.SYMTYPE, link="../../secret")],
        [member("tree/link", tarfile.SYMTYPE, link="a/../../../secret")],
        [member("tree/link", tarfile.LNKTYPE, link="/etc/passwd".lstrip("/"))],
        [member("tree/link", tarfile.LNKTYPE, link="tree/not-sent")],
        [member("other/file", data=b"x")],
    ],
)
def test_what_no_copy_should_hold_is_left_out_and_named(place: Path, members: list[Member]) -> None:
    assert unpack(place, ROOT, *members) == [members[0][0].name]
    assert os.listdir(place / "here") == []


def test_nothing_is_written_through_a_link_of_the_stream(place: Path) -> None:
    """The link itself is harmless; a file "below" it is not followed."""
    members = [ROOT, member("tree/sub", tarfile.DIRTYPE), member("tree/l", tarfile.SYMTYPE, link="sub")]
    with pytest.raises(Error, match="in the way"):
        unpack(place, *members, member("tree/l/file", data=b"bad"))
    assert not (place / "here/sub/file").exists()


def test_a_link_that_is_there_already_is_replaced_not_followed(place: Path) -> None:
    (place / "here").symlink_to("../secret")
    unpack(place, member("file", data=b"new"))
    assert not (place / "here").is_symlink()
    assert (place.parent / "secret").read_text() == "mine"


def test_a_linked_directory_that_is_there_already_is_in_the_way(place: Path) -> None:
    (place / "here").symlink_to("..")
    with pytest.raises(Error, match="in the way"):
        unpack(place, ROOT, member("tree/secret", data=b"bad"))
    assert (place.parent / "secret").read_text() == "mine"


def test_setuid_and_write_bits_for_others_are_dropped(place: Path) -> None:
    unpack(place, member("su", data=b"x", mode=0o6777))
    assert stat.S_IMODE((place / "here").stat().st_mode) == 0o755


def test_a_directory_is_not_replaced_by_a_file(place: Path) -> None:
    (place / "here").mkdir()
    with pytest.raises(Error, match="cannot replace"):
        unpack(place, member("x", data=b"1"))


def long_header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE])
def test_a_header_that_wants_all_memory_is_refused(place: Path, kind: bytes) -> None:
    with pytest.raises(Error, match="senseless size"):
        unpack_tree([long_header(kind, 1 << 33)], lambda _: (str(place), "x"))


@pytest.mark.parametrize("change", [lambda data: b"junk" * 200, lambda data: data[:700]])
def test_a_broken_stream_is_an_error_or_harmless(place: Path, change: Callable[[bytes], bytes]) -> None:
    data = change(stream(member("a", data=b"x" * 1000)))
    with pytest.raises(Error, match="broken tar stream"):
        unpack_tree([data], lambda _: (str(place), "x"))


@given(st.binary(max_size=3000))
def test_any_bytes_are_unpacked_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    directory = tmp_path_factory.mktemp("any")
    try:
        unpack_tree([data], lambda _: (str(directory), "x"))
    except Error as exc:
        assert exc.code in ("agent_error", "bad_request")


@pytest.mark.parametrize(
    ("target", "depth", "inside"),
    [
        ("a", 0, True),
        ("./a/b", 0, True),
        ("../a", 1, True),
        ("../a", 0, False),
        ("../../a", 1, False),
        ("a/../b", 5, False),
        ("/a", 5, False),
        ("", 0, False),
        ("a\0b", 0, False),
        (".", 0, True),
        ("..", 1, True),
    ],
)
def test_links_stay_inside(target: str, depth: int, inside: bool) -> None:
    assert stays_inside(target, depth) is inside


def test_names_become_components() -> None:
    assert safe_parts("./a//b/./c/") == ("a", "b", "c")
    assert safe_parts(".") == ()
