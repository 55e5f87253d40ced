"""Trees as tar: ours packed, a hostile guest's unpacked without harm."""

from __future__ import annotations

import io
import os
import resource
import socket
import stat
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.cli.verbs.copy import _plan_here
from banger.client.trees import Complaints, pack_tree, pass_tree, unpack_tree
from banger.client.trees.unpacking import safe_parts
from banger.errors import Error
from tests.support.layers import END, base256, extended, header, padded

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


def written(pieces: Iterable[bytes], place: Callable[[bool], tuple[str, str]]) -> list[str]:
    """Unpack; what is said of that."""
    complaints = Complaints()
    unpack_tree(pieces, place, complaints)
    assert complaints.count >= len(complaints.first)
    return complaints.first


def unpack(directory: Path, *members: Member) -> list[str]:
    return written([stream(*members)], lambda is_directory: (str(directory), "here"))


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
    left_out = written(pack_tree(str(source), "source"), lambda _: (str(tmp_path), "copy"))
    copy = tmp_path / "copy"
    assert left_out == ["left out source/pipe: it is not a regular file, directory or link"]
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
    assert written([data], lambda _: (str(place), "")) == []
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
        [member("tree/link", tarfile.LNKTYPE, link="/etc/passwd".lstrip("/"))],
        [member("tree/link", tarfile.LNKTYPE, link="tree/not-sent")],
        [member("other/file", data=b"x")],
    ],
)
def test_what_no_copy_should_hold_is_left_out_and_named(place: Path, members: list[Member]) -> None:
    (complaint,) = unpack(place, ROOT, *members)
    assert complaint.startswith(f"left out {members[0][0].name}: it is ")
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


@pytest.mark.parametrize(
    ("mode", "kept"), [(0o6755, 0o755), (0o664, 0o664), (0o400, 0o400), (0o1777, 0o1777)]
)
def test_a_file_keeps_its_mode_but_for_set_id_bits(place: Path, mode: int, kept: int) -> None:
    unpack(place, member("su", data=b"x", mode=mode))
    assert stat.S_IMODE((place / "here").stat().st_mode) == kept


@pytest.mark.parametrize("mode", [0o700, 0o2775, 0o1777, 0o500])
def test_directories_keep_mode_and_time(place: Path, mode: int) -> None:
    inner = member("tree/d", tarfile.DIRTYPE, mode=mode)
    inner[0].mtime = 1_000_000_000
    assert unpack(place, ROOT, inner, member("tree/d/f", data=b"x")) == []
    found = (place / "here/d").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (mode, 1_000_000_000)


def test_attributes_of_users_travel(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "f").write_text("x")
    try:
        os.setxattr(source / "f", "user.a", b"b\0\xff")
        os.setxattr(source / "d", "user.empty", b"")
    except OSError:
        pytest.skip("capability missing: a file system with extended attributes of users")
    assert written(pack_tree(str(source), "source"), lambda _: (str(tmp_path), "copy")) == []
    assert os.getxattr(tmp_path / "copy/f", "user.a") == b"b\0\xff"
    assert os.getxattr(tmp_path / "copy/d", "user.empty") == b""


def test_capabilities_of_a_guests_program_are_not_given_here(place: Path) -> None:
    program = member("su", data=b"x", mode=0o755)
    program[0].pax_headers = {"SCHILY.xattr.security.capability": "\1\0\0\2" + "\0" * 16}
    assert unpack(place, program) == []
    assert "security.capability" not in os.listxattr(place / "here")


def test_what_does_not_go_into_a_machine_as_it_is_is_said(tmp_path: Path) -> None:
    complaints = Complaints()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        (tmp_path / "cut").write_bytes(b"x" * 3 * 64 * 1024)
        for _ in pack_tree(str(tmp_path), ".", complaints=complaints):
            os.truncate(tmp_path / "cut", 1)
    said = "\n".join(complaints.first)
    assert said.count("shorter") == 1 and "/cut: it became shorter" in said
    assert "socket: it is not a regular file" in said


def test_files_of_the_kernel_have_their_contents(tmp_path: Path) -> None:
    assert written(pack_tree("/proc/version", "v"), lambda _: (str(tmp_path), "v")) == []
    assert (tmp_path / "v").read_bytes() == Path("/proc/version").read_bytes()


def test_a_directory_that_is_there_already_keeps_its_mode(place: Path) -> None:
    place.chmod(0o700)
    written([stream(member(".", tarfile.DIRTYPE, mode=0o777))], lambda _: (str(place), ""))
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret", "a/../../../secret", "gone", "."])
def test_links_are_kept_as_they_are(place: Path, target: str) -> None:
    assert unpack(place, ROOT, member("tree/link", tarfile.SYMTYPE, link=target)) == []
    assert os.readlink(place / "here/link") == target


LINKS = [".git", "./.git", "../project/.git", "{}/.git", "gone", "secret", ".."]
ROOTS = {
    "file": (tarfile.REGTYPE, b"bad"),
    "link": (tarfile.SYMTYPE, b""),
    "fifo": (tarfile.FIFOTYPE, b""),
    "device": (tarfile.CHRTYPE, b""),
    "hard link": (tarfile.LNKTYPE, b""),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that somebody works in."""
    project = tmp_path / "project"
    (project / ".git").mkdir(parents=True)
    (project / "secret").write_text("mine")
    monkeypatch.chdir(project)
    return project


def copy_out(source: str, target: str, *members: Member) -> list[str]:
    return written([stream(*members)], lambda is_directory: _plan_here(source, is_directory, target))


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("source", ["/out", "/out/."])
def test_a_second_copy_does_not_write_through_the_link_of_a_first(
    project: Path, link: str, source: str
) -> None:
    copy_out("/out", "./out", member("out", tarfile.SYMTYPE, link=link.format(project)))
    name = "." if source.endswith(".") else "out"
    tree = member(name, tarfile.DIRTYPE), member(f"{name}/hook", data=b"bad")
    with pytest.raises(Error) as failure:
        copy_out(source, "./out", *tree)
    assert failure.value.code == "bad_request"
    assert os.listdir(project / ".git") == []
    assert sorted(os.listdir(project)) == [".git", "out", "secret"]
    assert os.listdir(project.parent) == ["project"]


@pytest.mark.parametrize("link", LINKS)
def test_a_file_takes_the_place_of_a_link_or_is_refused(project: Path, link: str) -> None:
    copy_out("/out", "./out", member("out", tarfile.SYMTYPE, link=link.format(project)))
    try:
        copy_out("/out", "./out", member("out", data=b"new"))
    except Error as exc:
        assert "link to a directory" in exc.message
    else:
        assert not (project / "out").is_symlink()
    assert (project / "secret").read_text() == "mine"
    assert os.listdir(project / ".git") == []


@pytest.mark.parametrize("kind", ROOTS)
@pytest.mark.parametrize("target", ["absent", "./there", "link/"])
@pytest.mark.parametrize("source", ["/out/.", "/out/"])
def test_what_must_be_a_directory_is_one(project: Path, kind: str, target: str, source: str) -> None:
    (project / "there").mkdir()
    (project / "link").symlink_to("there")
    flag, data = ROOTS[kind]
    with pytest.raises(Error) as failure:
        copy_out(source, target, member("out", flag, data, link="secret" if not data else ""))
    assert failure.value.code == "agent_error"
    assert sorted(os.listdir(project)) == [".git", "link", "secret", "there"]
    assert os.listdir(project / "there") == []


def test_a_slash_after_a_link_is_the_users_word_to_follow_it(project: Path) -> None:
    (project / "there").mkdir()
    (project / "link").symlink_to("there")
    copy_out("/out/.", "link/", member(".", tarfile.DIRTYPE), member("./a", data=b"1"))
    copy_out("/b", "link/b", member("b", data=b"2"))
    assert sorted(os.listdir(project / "there")) == ["a", "b"]


def test_the_place_of_a_tree_may_not_become_a_link_before_it_is_opened(project: Path) -> None:
    (project / "link").symlink_to(".git")
    with pytest.raises(OSError, match="directory"):
        written([stream(member(".", tarfile.DIRTYPE))], lambda _: ("link", ""))


def test_holes_take_no_room(place: Path) -> None:
    sparse = tarfile.TarInfo("tree/big")
    sparse.pax_headers = {
        "GNU.sparse.map": "0,0",
        "GNU.sparse.size": str(1 << 40),
        "GNU.sparse.numblocks": "1",
    }
    data = stream(ROOT)[:512] + sparse.tobuf(tarfile.PAX_FORMAT) + bytes(1024)
    assert written([data], lambda _: (str(place), "here")) == []
    found = (place / "here/big").stat()
    assert (found.st_size, found.st_blocks) == (1 << 40, 0)


def test_a_chain_of_long_names_is_refused(place: Path) -> None:
    chain = (long_header(tarfile.GNUTYPE_LONGNAME, 2) + b"a".ljust(512, b"\0")) * 3000
    with pytest.raises(Error, match="broken tar stream"):
        written([chain], lambda _: (str(place), "x"))


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
    with pytest.raises(Error, match="an extended header has 8589934592 bytes"):
        written([long_header(kind, 1 << 33)], lambda _: (str(place), "x"))


@pytest.mark.parametrize("change", [lambda data: b"junk" * 200, lambda data: data[:700]])
def test_a_broken_stream_is_an_error_or_harmless(place: Path, change: Callable[[bytes], bytes]) -> None:
    data = change(stream(member("a", data=b"x" * 1000)))
    with pytest.raises(Error, match="broken tar stream"):
        written([data], lambda _: (str(place), "x"))


@given(st.binary(max_size=3000))
def test_any_bytes_are_unpacked_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    directory = tmp_path_factory.mktemp("any")
    try:
        written([data], lambda _: (str(directory), "x"))
    except Error as exc:
        assert exc.code in ("agent_error", "bad_request")


def test_names_become_components() -> None:
    assert safe_parts(b"./a//b/./c/") == (b"a", b"b", b"c")
    assert safe_parts(b".") == ()


FILE = header(b"tree/f", 700) + padded(b"x" * 700)
TREE = header(b"tree/", flag=b"5", mode=0o755)
BROKEN = {
    "cut in a header": TREE + FILE[:300],
    "cut in a file": TREE + FILE[:800],
    "cut before the end": TREE + FILE,
    "half of an end": TREE + FILE + bytes(512),
    "a header that is none": TREE + FILE + b"junk" * 128 + END,
    "a checksum that is wrong": TREE + header(b"tree/g", checksum=b"000001\0 ") + END,
    "a part after zeros": TREE + bytes(512) + FILE + END,
    "a size that is no number": TREE + header(b"tree/g", b"0000000z000\0") + END,
    "a size below zero": TREE + header(b"tree/g", base256(-1, 12)) + END,
    "a size that is too large": TREE + extended((b"size", b"9" * 30)) + FILE + END,
    "a size with a blank": TREE + extended((b"size", b" 7")) + FILE + END,
    "a size with a sign": TREE + extended((b"size", b"+7")) + FILE + END,
    "a size in other digits": TREE + extended((b"size", b"\xd9\xa7")) + FILE + END,
    "an owner that is too large": TREE + extended((b"uid", b"4294967296")) + FILE + END,
    "a name with a NUL": TREE + extended((b"path", b"tree/a\0b")) + FILE + END,
    "a record of a wrong length": TREE + header(b"x", 7, b"x") + padded(b"9 a=bc\n") + FILE + END,
    "a record that lacks its end": TREE + header(b"x", 7, b"x") + padded(b"7 a=bcd") + FILE + END,
    "an extended header alone": TREE + FILE + extended((b"path", b"tree/g")) + END,
    "an extended header of all memory": TREE + header(b"x", 1 << 32, b"x") + END,
    "a directory with data": TREE + header(b"tree/d/", 512, b"0") + bytes(512) + END,
    "a map of holes that lies": TREE
    + extended((b"GNU.sparse.map", b"0,9"), (b"GNU.sparse.size", b"5"))
    + FILE
    + END,
    "a part of another volume": TREE + header(b"tree/f", 9, b"M") + padded(b"x" * 9) + END,
    "a type of the future": TREE + header(b"tree/f", 0, b"?") + END,
    "a link to nothing": TREE + header(b"tree/l", flag=b"2") + END,
    "a name that is too deep": TREE + extended((b"path", b"tree" + b"/d" * 1000)) + FILE + END,
    "a name that is too long": TREE + extended((b"path", b"tree/" + b"n/" * 33_000)) + FILE + END,
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("piece", [100, 4096])
def test_what_is_wrong_with_a_stream_is_an_error(place: Path, data: bytes, piece: int) -> None:
    pieces = (data[at : at + piece] for at in range(0, len(data), piece))
    with pytest.raises(Error, match="the machine sent a broken tar stream") as caught:
        written(pieces, lambda _: (str(place), "here"))
    assert caught.value.code == "agent_error"
    assert set(os.listdir(place / "here")) <= {"f"}
    if (place / "here/f").exists():
        assert (place / "here/f").read_bytes() == b"x" * 700


def test_what_is_said_for_all_entries_concerns_none(place: Path) -> None:
    everywhere = extended((b"path", b"tree/../../x"), (b"size", b"3"), flag=b"g")
    assert written([TREE + everywhere + FILE + END], lambda _: (str(place), "here")) == []
    assert (place / "here/f").read_bytes() == b"x" * 700


def test_a_file_of_old_programs_may_be_a_directory(place: Path) -> None:
    data = TREE + header(b"tree/d/", flag=b"0") + header(b"tree/d/f", flag=b"\0") + END
    assert written([data], lambda _: (str(place), "here")) == []
    assert (place / "here/d/f").is_file()


@pytest.mark.parametrize("cut", [600, 1100])
def test_a_file_that_is_cut_leaves_what_was_there(place: Path, cut: int) -> None:
    (place / "here").write_text("before")
    with pytest.raises(Error, match="entry 'f': ends in the middle"):
        written([(header(b"f", 700) + b"x" * 700)[:cut]], lambda _: (str(place), "here"))
    assert (place / "here").read_text() == "before"
    assert os.listdir(place) == ["here"]


def test_a_file_that_cannot_be_written_is_named_and_not_there(place: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(Error, match=r"cannot write .*here/big: ") as caught:
            unpack(place, ROOT, member("tree/small", data=b"1"), member("tree/big", data=b"x" * 200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.code == "bad_request"
    assert os.listdir(place / "here") == ["small"]


def test_a_copy_over_an_earlier_one_replaces_its_links(place: Path) -> None:
    members = [ROOT, member("tree/a", data=b"1"), member("tree/b", tarfile.LNKTYPE, link="tree/a")]
    assert unpack(place, *members) == unpack(place, *members, members[2]) == []
    assert (place / "here/a").samefile(place / "here/b")
    assert sorted(os.listdir(place / "here")) == ["a", "b"]


def test_a_hard_link_is_to_a_file_and_never_to_what_took_its_place(place: Path) -> None:
    link = member("tree/a", tarfile.SYMTYPE, link="../../secret")
    second = member("tree/b", tarfile.LNKTYPE, link="tree/a")
    said = unpack(place, ROOT, member("tree/a", data=b"1"), link, second)
    assert said == ["left out tree/b: it is a link to a file that was not copied"]
    assert os.listdir(place / "here") == ["a"]


def test_directories_have_their_modes_in_whatever_order_they_come(place: Path) -> None:
    members = [member(f"tree/{name}", tarfile.DIRTYPE, mode=0o500) for name in ("a/b/c", "a/b", "a")]
    assert unpack(place, ROOT, *members) == []
    found = [(place / "here" / name).stat().st_mode for name in ("a", "a/b", "a/b/c")]
    assert [stat.S_IMODE(mode) for mode in found] == [0o500] * 3


def test_a_time_before_1970_is_one(place: Path, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    os.utime(tmp_path / "old", (-5, -5))
    assert written(pack_tree(str(tmp_path / "old"), "old"), lambda _: (str(place), "here")) == []
    assert (place / "here").stat().st_mtime == -5


def test_holes_are_packed_as_holes(place: Path, tmp_path: Path) -> None:
    with (tmp_path / "disk").open("wb") as file:
        for at in (1 << 20, 1 << 33):
            file.seek(at)
            file.write(b"data")
        file.truncate(1 << 40)
    packed = b"".join(pack_tree(str(tmp_path / "disk"), "disk"))
    if len(packed) > 1 << 24:
        pytest.skip("capability missing: a file system that tells where holes are")
    assert written([packed], lambda _: (str(place), "here")) == []
    with (place / "here").open("rb") as file:
        assert file.seek(0, os.SEEK_END) == 1 << 40
        for at in (1 << 20, 1 << 33):
            file.seek(at - 4)
            assert file.read(12) == bytes(4) + b"data" + bytes(4)


def test_what_goes_away_while_it_is_packed_is_left_out_and_the_rest_comes(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "gone-too").mkdir(parents=True)
    for name in ("a", "gone", "z"):
        (tree / name).write_bytes(b"x" * 64 * 1024)
    complaints, pieces = Complaints(), list[bytes]()
    for piece in pack_tree(str(tree), "tree", complaints=complaints):
        pieces.append(piece)
        if (tree / "gone").exists():
            (tree / "gone").unlink()
            (tree / "gone-too").rmdir()
    assert written(pieces, lambda _: (str(tmp_path), "copy")) == []
    assert sorted(os.listdir(tmp_path / "copy")) == ["a", "z"]
    gone = [f"left out {tree}/{name}: No such file or directory" for name in ("gone", "gone-too")]
    assert complaints.first == gone


def test_what_cannot_be_read_is_left_out_and_the_rest_comes(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "closed").mkdir(parents=True)
    for name in ("a", "b", "closed/c"):
        (tree / name).write_text(name)
    (tree / "a").chmod(0)
    (tree / "closed").chmod(0o300)
    if os.access(tree / "a", os.R_OK):
        pytest.skip("capability missing: a user from whom files can be kept; this is root")
    complaints = Complaints()
    packed = pack_tree(str(tree), "tree", complaints=complaints)
    assert written(packed, lambda _: (str(tmp_path), "copy")) == []
    assert sorted(os.listdir(tmp_path / "copy")) == ["b", "closed"]
    assert [sentence.split(": ")[0] for sentence in complaints.first] == [
        f"left out {tree}/a",
        f"left out {tree}/closed",
    ]


def test_a_root_that_cannot_be_read_is_an_error_before_anything_is_sent() -> None:
    with pytest.raises(OSError, match="error"):
        next(pack_tree("/proc/self/mem", "mem"))


def test_trees_are_packed_to_any_depth_and_unpacked_to_a_bound(tmp_path: Path) -> None:
    source = deepest = tmp_path / "d"
    copy = tmp_path / "copy"
    for _ in range(1200):
        deepest.mkdir()
        deepest /= "d"
    try:
        with pytest.raises(Error, match="more than 1000 directories deep"):
            written(pack_tree(str(source), "tree"), lambda _: (str(tmp_path), "copy"))
        assert copy.joinpath(*["d"] * 999).is_dir()
    finally:
        remove_chain(source)
        remove_chain(copy)


def remove_chain(top: Path) -> None:
    """Directories that are deeper than the library goes."""
    chain = [top]
    while (chain[-1] / "d").is_dir():
        chain.append(chain[-1] / "d")
    for directory in reversed(chain):
        directory.rmdir()


def test_few_complaints_are_kept_and_all_are_counted() -> None:
    complaints = Complaints()
    for number in range(1000):
        complaints.add(f"left out {number}")
    assert complaints.count == 1000
    assert complaints.first == [f"left out {number}" for number in range(5)]


def test_what_is_remembered_of_a_copy_has_a_bound(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("banger.client.trees.unpacking._HELD_BYTES", 3000)
    files = [member(f"tree/{number}", data=b"x") for number in range(40)]
    links = [member(f"tree/link-{number}", tarfile.LNKTYPE, link=f"tree/{number}") for number in (0, 39)]
    said = unpack(place, ROOT, *files, *links, member("tree/d", tarfile.DIRTYPE))
    assert said == ["left out tree/link-39: it is a link to a file that was not copied"]
    assert (place / "here/0").samefile(place / "here/link-0")
    with pytest.raises(Error, match="more directories than a copy may have"):
        unpack(place, ROOT, *(member(f"tree/d{number}", tarfile.DIRTYPE) for number in range(40)))


def passed(
    pieces: Iterable[bytes], name: str = "copy", *, keep_owner: bool = False
) -> tuple[list[str], list[tarfile.TarInfo]]:
    """Pass a stream on; what is said of that, and what arrives."""
    complaints = Complaints()
    directory, stream = pass_tree(pieces, lambda _: ("/srv", name), keep_owner, complaints)
    assert directory == "/srv"
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        return complaints.first, tar.getmembers()


def test_a_tree_passed_on_has_its_new_name_and_the_rest_of_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "a").write_bytes(os.urandom(400_001))
    (source / "sub/soft").symlink_to("../a")
    os.link(source / "a", source / "sub/hard")
    with open(source / "holes", "wb") as holes:
        holes.truncate(50 << 20)
        holes.seek(1 << 20)
        holes.write(b"x" * 5000)
    packed = list(pack_tree(str(source), "source"))
    _, stream = pass_tree(packed, lambda _: ("/", "copy"))
    pieces = list(stream)
    assert sum(map(len, pieces)) < sum(map(len, packed)) + (64 << 10)
    unpack_tree(pieces, lambda _: (str(tmp_path), "copy"))
    copy = tmp_path / "copy"
    assert (copy / "a").read_bytes() == (source / "a").read_bytes()
    assert (copy / "a").samefile(copy / "sub/hard")
    assert (copy / "sub/soft").readlink() == Path("../a")
    assert (copy / "holes").read_bytes() == (source / "holes").read_bytes()
    assert (copy / "holes").stat().st_blocks * 512 < 1 << 20


def test_what_is_passed_on_belongs_to_root_and_lends_no_rights() -> None:
    tree, file = member("tree", tarfile.DIRTYPE, mode=0o3755), member("tree/run", data=b"x", mode=0o6755)
    for info, _ in (tree, file):
        info.uid, info.gid = 1000, 1001
    said, members = passed([stream(tree, file)])
    assert not said
    assert [(one.name, one.mode, one.uid, one.gid) for one in members] == [
        ("copy", 0o3755, 0, 0), ("copy/run", 0o755, 0, 0)
    ]  # fmt: skip
    _, members = passed([stream(tree, file)], keep_owner=True)
    assert [(one.mode, one.uid, one.gid) for one in members] == [(0o3755, 1000, 1001), (0o6755, 1000, 1001)]


def test_contents_alone_are_passed_on_below_a_dot() -> None:
    _, members = passed([stream(ROOT, member("tree/a", data=b"x"))], "")
    assert [one.name for one in members] == [".", "./a"]


def test_what_would_leave_the_tree_is_not_passed_on() -> None:
    said, members = passed(
        [
            stream(
                ROOT,
                member("elsewhere/a", data=b"x"),
                member("tree/out", tarfile.LNKTYPE, link="elsewhere/a"),
                member("tree/null", tarfile.CHRTYPE),
                member("tree/last", data=b"y"),
            )
        ]
    )
    assert [one.name for one in members] == ["copy", "copy/last"]
    assert len(said) == 3


@pytest.mark.parametrize("cut", [0, 100, 512, 1300, 2100])
def test_a_stream_that_is_cut_short_is_not_passed_on_whole(cut: int) -> None:
    whole = stream(ROOT, member("tree/a", data=b"x" * 600))
    with pytest.raises(Error) as refused:
        passed([whole[:cut]])
    assert refused.value.code == "agent_error"


def test_a_name_with_dots_ends_the_passing() -> None:
    with pytest.raises(Error, match="leads out of the tree"):
        passed([stream(ROOT, member("tree/../../etc/passwd", data=b"x"))])
