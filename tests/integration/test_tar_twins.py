"""Two readers of tar archives, the agent's in C and this package's, read the same archives as the same trees, or both
refuse them; and what the agent writes is read back as it was by both, by Python's reader and by GNU tar."""

from __future__ import annotations

import io
import os
import random
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.tar.failure import TarFailure
from banger.tar.kind import Kind
from tests.support.applets import build_applets
from tests.support.archives import LONG, long_name, old_sparse, sparse_forms
from tests.support.layers import END, base256, extended, header, mended, padded
from tests.support.tree_of_tar import Seen, Tree, Unwieldy, described_by, made_in

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

GUEST = Path(__file__).parents[2] / "guest"
# Of tar-in: all is made, something could not be, the archive is malformed.
GOOD, LEFT_OUT, BROKEN = 0, 1, 3
IS_ROOT = os.geteuid() == 0
DAMAGES = 400


@pytest.fixture(scope="module")
def applets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without sanitizers: there are many archives."""
    return build_applets(tmp_path_factory.mktemp("applets"), "SANITIZE=-O1")


@pytest.fixture
def takes_attributes(tmp_path: Path) -> bool:
    try:
        os.setxattr(tmp_path, "user.try", b"1")
    except OSError:
        return False
    os.removexattr(tmp_path, "user.try")
    return True


FILE = header(b"x", 3) + padded(b"abc")
LINKED = header(b"d/", flag=b"5", mode=0o700) + header(b"d/f", 3, mtime=5) + padded(b"abc")
MAP_1 = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9")]
# Beginnings: what ends an archive comes after them.
CORPUS: dict[str, bytes] = {
    "nothing": b"",
    "a file": FILE,
    "a file of several blocks": header(b"x", 70_000) + padded(b"abcdefg" * 10_000),
    "a name of 100 bytes": header(b"n" * 100),
    "a name with a prefix": header(b"b", prefix=b"p" * 155),
    "a name with a prefix of Go's": header(b"b", magic=b"ustar  \0", prefix=b"of/old/go"),
    "a prefix that is two times of GNU's": header(b"b", magic=b"ustar  \0", prefix=b"%011o\0" % 7 * 2),
    "a prefix of star's": header(b"b", tail=(b"p" * 131 + b"00000000001 " * 2).ljust(163, b"\0") + b"tar\0"),
    "a header without a magic": header(b"b", magic=bytes(8)),
    "names with odd parts": header(b"./a//b/./c"),
    "names with odd bytes": header(b"\xff\n\x1b[2J"),
    "a name that leads out": header(b"a/../../b"),
    "a name from the root": header(b"/b"),
    "a part that is too long": long_name(b"n" * 256) + header(b"b"),
    "an empty name": header(b""),
    "the tree itself": header(b"./", flag=b"5", mode=0o700) + FILE,
    "a long name": long_name(LONG) + header(b"cut"),
    "a long name of 2 KiB": long_name(b"/".join([b"d" * 200] * 10)) + header(b"cut"),
    "a long name that is cut by a NUL": long_name(b"cut\0off") + header(b"a"),
    "an empty long name": long_name(b"") + header(b"kept"),
    "many long names": long_name(b"one") * 300 + long_name(LONG) + header(b"a"),
    "a long target": long_name(LONG, b"K") + header(b"l", flag=b"2", target=b"cut"),
    "a long target of a hard link": LINKED + long_name(b"d/f", b"K") + header(b"h", flag=b"1", target=b"cut"),
    "records": extended((b"path", LONG), (b"uid", b"70000"), (b"gid", b"70001"), (b"mtime", b"1.5")) + FILE,
    "records and a long name": extended((b"path", b"pax"), (b"uid", b"7")) + long_name(LONG) + header(b"a"),
    "a long name and records": long_name(LONG) + extended((b"path", b"pax"), (b"uid", b"7")) + header(b"a"),
    "two headers of records": extended((b"path", b"one"), (b"uid", b"5")) + extended((b"gid", b"6")) + FILE,
    "records that are taken back": extended(*((key, b"") for key in (b"path", b"uid", b"size", b"mtime"))) + FILE,
    "records of all entries": extended((b"path", b"g"), (b"size", b"99"), flag=b"g") + FILE,
    "records of all entries that are no records": header(b"g", 5, b"g") + padded(b"what?") + FILE,
    "records of Solaris": extended((b"path", LONG), flag=b"X") + FILE,
    "records that are filled up": header(b"x", 20, b"x") + padded(b"10 path=b\n" + bytes(10)) + FILE,
    "records that nobody knows": extended((b"comment", b"a=b"), (b"atime", b"x"), (b"SUN.x", b"")) + FILE,
    "records that belong to nothing": FILE + extended((b"path", b"a")),
    "a name that belongs to nothing": FILE + long_name(b"name"),
    "a record without a length": header(b"x", 5, b"x") + padded(b"a b=c") + FILE,
    "a record of no length": header(b"x", 5, b"x") + padded(b"0 =a\n") + FILE,
    "a record that is too long": header(b"x", 9, b"x") + padded(b"99 a=bcd\n") + FILE,
    "a record that is too short": header(b"x", 7, b"x") + padded(b"6 a=bc\n") + FILE,
    "a record without a key": header(b"x", 5, b"x") + padded(b"5 =a\n") + FILE,
    "a record without a sign": header(b"x", 6, b"x") + padded(b"6 abc\n") + FILE,
    "a record with zeros before its length": header(b"x", 12, b"x") + padded(b"00012 path=b\n"[:12]) + FILE,
    "a record with a length of nine digits": header(b"x", 19, b"x") + padded(b"000000019 comment=\n") + FILE,
    "too much of records": header(b"x", (1 << 20) + 1, b"x") + bytes((1 << 20) + 512) + FILE,
    "too long a name": header(b"x", (1 << 20) + 1, b"L") + bytes((1 << 20) + 512) + FILE,
    "a NUL in a name": extended((b"path", b"a\0b")) + FILE,
    "a NUL in a target": extended((b"linkpath", b"a\0b")) + header(b"l", flag=b"2", target=b"t"),
    "a size in records": extended((b"size", b"0" * 40 + b"5")) + header(b"a") + padded(b"12345"),
    "a size that is none": extended((b"size", b"-1")) + FILE,
    "a size of many digits": extended((b"size", b"9" * 30)) + FILE,
    "a size with a sign": extended((b"size", b"+3")) + FILE,
    "an owner of 32 bits": extended((b"uid", b"4294967294"), (b"gid", b"-2")) + FILE,
    "an owner that means nobody": extended((b"uid", b"4294967295"), (b"gid", b"-1")) + FILE,
    "an owner of more bits": extended((b"uid", b"4294967296")) + FILE,
    "an owner below all": extended((b"gid", b"-2147483649")) + FILE,
    "an owner of base 256": header(b"a", uid=base256(4294967294, 8), gid=base256(-1, 8)),
    "an owner of base 256 of more bits": header(b"a", uid=base256(1 << 32, 8)),
    "numbers with NULs first": header(b"a", b"\0 \0" + b"00000003 ", uid=b"\0\0" + b"01750\0") + padded(b"abc"),
    "numbers with blanks": header(b"a", b"         3  ", mode=b"   644 \0") + padded(b"abc"),
    "numbers that are blank": header(b"a", mode=bytes(8), uid=b" " * 8, mtime=b" " * 12),
    "numbers and what comes after a NUL": header(b"a", b"00003\0zzzzz\0") + padded(b"abc"),
    "a number with a blank in it": header(b"a", b"00 00000003\0") + padded(b"abc"),
    "a number with an eight": header(b"a", b"00000000008\0") + bytes(512),
    "a number with a letter": header(b"a", b"0000000000z\0"),
    "a number with a sign": header(b"a", b"-0000000001\0"),
    "a size below zero": header(b"a", base256(-1, 12)),
    "a size of 70 bits": header(b"a", base256(1 << 70, 12)),
    "a size of base 256": header(b"a", base256(700, 12)) + bytes(1024),
    "a mode with a type": header(b"a", mode=0o104755),
    "a mode below zero": header(b"a", mode=base256(-1, 8)),
    "a time before 1970": header(b"a", mtime=base256(-2, 12)),
    "times with fractions": b"".join(
        extended((b"mtime", time)) + header(b"t%d" % number)
        for number, time in enumerate((b"-1.25", b"-0.5", b".5", b"7.", b"1.123456789999", b"-1", b"0"))
    ),
    **{f"the time {time!r}": extended((b"mtime", time)) + FILE for time in (b"1.x", b"--1", b".", b"-", b"1e3", b" 1")},
    "a wrong checksum": header(b"a", checksum=b"000001\0 "),
    "a checksum that is no number": header(b"a", checksum=b"00z001\0 "),
    "no header": b"x" * 512,
    "a file of an old program": header(b"a", 3, flag=b"\0", magic=bytes(8)) + padded(b"abc"),
    "a contiguous file": header(b"a", 3, flag=b"7") + padded(b"abc"),
    "a directory of an old program": header(b"d/", 5, flag=b"\0", magic=bytes(8)),
    "a directory with data": header(b"d/", 9, flag=b"0") + bytes(512),
    "a directory with a size": header(b"d", 99, flag=b"5"),
    "a directory of a dump": header(b"d/", 7, flag=b"D", magic=b"ustar  \0") + padded(b"Yname\0\0") + FILE,
    "modes of directories": header(b"d", flag=b"5", mode=0o500, mtime=7) + header(b"d/f", mode=0o4755),
    "a directory twice": header(b"d", flag=b"5", mode=0o700) + header(b"d/f") + header(b"d", flag=b"5", mode=0o750),
    "a directory after what lies in it": header(b"d/e/f") + header(b"d/e", flag=b"5", mode=0o700, mtime=7)
    + header(b"d", flag=b"5", mode=0o1750, uid=7, mtime=8),
    "a directory spelled in two ways": header(b"d", flag=b"5", mode=0o700) + header(b"./d//", flag=b"5", mtime=9),
    "many directories": b"".join(header(b"d%d/e/f" % n) + header(b"d%d" % n, flag=b"5", mode=n) for n in range(200)),
    "a file twice": header(b"a", 3) + padded(b"abc") + header(b"a", 2, mode=0o600) + padded(b"de"),
    "a link in the place of a file": FILE + header(b"x", flag=b"2", target=b"y"),
    "a file in the place of a directory": header(b"d", flag=b"5") + header(b"d"),
    "a directory in the place of a file": header(b"d") + header(b"d", flag=b"5"),
    "a file below a file": FILE + header(b"x/y"),
    "a file below a link": header(b"l", flag=b"2", target=b".") + header(b"l/y"),
    "a hard link": LINKED + header(b"h", 99, flag=b"1", target=b"./d//f"),
    "a hard link to nothing": header(b"h", flag=b"1", target=b"nothing"),
    "a hard link to a directory": LINKED + header(b"h", flag=b"1", target=b"d"),
    "a hard link that leads out": header(b"h", flag=b"1", target=b"../h"),
    "a hard link without a target": header(b"h", flag=b"1"),
    "a hard link to a link": header(b"l", flag=b"2", target=b"t") + header(b"h", flag=b"1", target=b"l"),
    "a link": header(b"l", 99, flag=b"2", target=b"../../elsewhere", mode=0o644, mtime=9),
    "a link without a target": header(b"l", flag=b"2"),
    "a pipe": header(b"p", 99, flag=b"6", mode=0o600),
    "a type that nobody knows": header(b"a", flag=b"Q"),
    "the rest of a file": header(b"a", 9, flag=b"M") + bytes(512),
    "a table of names": header(b"a", 9, flag=b"N") + bytes(512),
    "remarks": header(b"label", flag=b"V", magic=b"ustar  \0") + header(b"l", 5, flag=b"A") + padded(b"rules") + FILE,
    **{f"holes, {form}": archive for form, archive in sparse_forms()},
    "holes that overlap": old_sparse([(0, 2), (1, 3)], 10, 5) + bytes(512),
    "holes beyond the end": old_sparse([(0, 20)], 10, 20) + bytes(512),
    "holes with too little data": old_sparse([(0, 2)], 10, 5) + bytes(512),
    "holes without an end": old_sparse([(0, 5)], 1 << 20, 5, more=True),
    "nothing but a hole": extended((b"GNU.sparse.map", b""), (b"GNU.sparse.size", b"9")) + header(b"a"),
    "half a stretch": extended((b"GNU.sparse.map", b"0,1,2"), (b"GNU.sparse.size", b"9")) + header(b"a"),
    "holes of no size": extended((b"GNU.sparse.map", b"0,1")) + header(b"a", 1) + padded(b"a"),
    "holes of an unknown form": extended((b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0")) + FILE,
    "half of a form": extended((b"GNU.sparse.major", b"1"), (b"GNU.sparse.realsize", b"9")) + FILE,
    "a record of holes that nobody knows": extended((b"GNU.sparse.unheard", b"1")) + FILE,
    "offsets without a count": extended(
        *((b"GNU.sparse." + key, value) for key, value in [(b"size", b"9"), (b"offset", b"1"), (b"numbytes", b"3")])
    )
    + FILE,
    "two offsets": extended(*2 * [(b"GNU.sparse.offset", b"1")]) + FILE,
    "a name of a file with holes": extended((b"GNU.sparse.name", b"other")) + FILE,
    **{
        f"holes with {lines!r} before the data": extended(*MAP_1) + header(b"a", 512) + padded(lines)
        for lines in (b"0\n", b"3\n1\n", b"1\nx\n9\n", b"1" * 512, b"1\n0\n9\n", b"00\n", b"-1\n")
    },
}  # fmt: skip
NODES = {
    "devices": header(b"c", flag=b"3", device=(1, 3)) + header(b"b", flag=b"4", device=(4095, (1 << 20) - 1)),
    "a device of records": extended((b"SCHILY.devmajor", b"300"), (b"SCHILY.devminor", b"70000"))
    + header(b"a", flag=b"3"),
    "a device of too high a number": header(b"c", flag=b"3", device=(4096, 0)),
    "a device of too high a second number": header(b"c", flag=b"4", device=(0, 1 << 20)),
    "a device of a number below zero": extended((b"SCHILY.devmajor", b"-1")) + header(b"c", flag=b"3"),
}
ATTRIBUTES = {
    "an attribute": extended((b"SCHILY.xattr.user.a", b"1\n=\xff"), (b"SCHILY.xattr.user.e", b"")) + FILE,
    "an attribute twice": extended((b"SCHILY.xattr.user.a", b"1"), (b"SCHILY.xattr.user.a", b"2")) + FILE,
    "attributes of the system": extended((b"SCHILY.xattr.trusted.a", b"1"), (b"SCHILY.xattr.security.x", b""))
    + FILE,
    "an attribute without a name": extended((b"SCHILY.xattr.", b"1")) + FILE,
    "an attribute with a NUL in its name": extended((b"SCHILY.xattr.user.\0", b"1")) + FILE,
    "an attribute of too long a name": extended((b"SCHILY.xattr.user." + b"n" * 251, b"1")) + FILE,
    "a coded attribute": extended((b"LIBARCHIVE.xattr.user.a%20%zz%4", b"dmFsdWU")) + FILE,
    "a coded attribute with padding": extended((b"LIBARCHIVE.xattr.user.a", b"dmFsdQ==")) + FILE,
    "a coded attribute of no value": extended((b"LIBARCHIVE.xattr.user.a", b"")) + FILE,
    "both forms": extended((b"SCHILY.xattr.user.a", b"1"), (b"LIBARCHIVE.xattr.user.a", b"Mg")) + FILE,
    "both forms, the other way": extended((b"LIBARCHIVE.xattr.user.a", b"Mg"), (b"SCHILY.xattr.user.a", b"1"))
    + FILE,
    **{
        f"the code {code!r}": extended((b"LIBARCHIVE.xattr.user.a", code)) + FILE
        for code in (b"?", b"A", b"AAAAA", b"AAAA=", b"AA=", b"=", b"A=A=", b"AA==AA==", b"AA A", b"__-A")
    },
}


def compare(applets: Path, tar: bytes, place: Path) -> str:
    """How the two differ, empty if they do not."""
    try:
        expected: Tree | None = described_by(tar)
        why = ""
    except TarFailure as exc:
        expected, why = None, str(exc)
    place.mkdir()
    done = subprocess.run([applets, "tar-in", "--", place], input=tar, capture_output=True, timeout=60)
    assert done.returncode in (GOOD, LEFT_OUT, BROKEN), done.stderr
    if expected is None:
        return "" if done.returncode else f"only the package refuses it: {why}"
    if done.returncode:
        return f"only the agent refuses it: {done.stderr!r}"
    made = {path: plain(seen) for path, seen in made_in(place, set(expected)).items()}
    expected = {path: plain(seen) for path, seen in expected.items()}
    return "" if made == expected else f"{expected}\nis made as\n{made}"


def plain(seen: Seen) -> Seen:
    """What a user who is not root can make of it. Linux decides what the mode of a link is."""
    mode = 0o777 if seen.kind is Kind.SYMLINK else seen.mode if IS_ROOT else seen.mode & 0o1777
    return (
        seen._replace(mode=mode) if IS_ROOT else seen._replace(mode=mode, uid=os.geteuid(), gid=os.getegid())
    )


@pytest.mark.parametrize("name", CORPUS)
def test_an_archive_is_one_tree_or_none_to_both(applets: Path, tmp_path: Path, name: str) -> None:
    assert not compare(applets, CORPUS[name] + END, tmp_path / "made")


@pytest.mark.parametrize("name", NODES)
def test_a_device_is_one_to_both(applets: Path, tmp_path: Path, name: str) -> None:
    if not IS_ROOT:
        pytest.skip("capability missing: devices are made by root")
    assert not compare(applets, NODES[name] + END, tmp_path / "made")


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_is_one_to_both(
    applets: Path, tmp_path: Path, takes_attributes: bool, name: str
) -> None:
    if not takes_attributes:
        pytest.skip("capability missing: a file system with extended attributes")
    assert not compare(applets, ATTRIBUTES[name] + END, tmp_path / "made")


@pytest.mark.parametrize("end", [b"", bytes(512), END + b"anything" * 1000, bytes(10240), bytes(512) + FILE])
def test_an_end_is_one_to_both(applets: Path, tmp_path: Path, end: bytes) -> None:
    assert not compare(applets, FILE + end, tmp_path / "made")


@pytest.mark.parametrize("at", [1, 300, 511, 512, 700, 1023, 1100, 1535, 1600])
def test_an_archive_that_is_cut_is_none_to_both(applets: Path, tmp_path: Path, at: int) -> None:
    whole = extended((b"path", b"a")) + FILE + END
    assert not compare(applets, whole[:at], tmp_path / "made")


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_the_same_to_both(applets: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    sources = [tar + END for tar in CORPUS.values() if 0 < len(tar) < 8192]
    for number in range(DAMAGES // 4):
        tar = damaged(chance.choice(sources), chance)
        try:
            difference = compare(applets, tar, tmp_path / "made")
        except Unwieldy:
            continue
        assert not difference, (number, tar)
        shutil.rmtree(tmp_path / "made")


def damaged(source: bytes, chance: random.Random) -> bytes:
    """With other bytes at a few places, mostly at those that said something; its checksums are right."""
    tar = bytearray(source)
    telling = [at for at, byte in enumerate(tar) if byte]
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(tar)) if chance.random() < 0.3 else chance.choice(telling)
        tar[at] = chance.choice([*b"\0 01789xSLK=.,-+/\n\x80\xff", chance.randrange(256)])
    whole = b"".join(mended(bytes(tar[at : at + 512])) for at in range(0, len(tar), 512))
    return whole[: chance.randrange(len(whole))] if chance.random() < 0.1 else whole


# What the agent writes.


@pytest.fixture
def source(tmp_path: Path, takes_attributes: bool) -> Path:
    """A tree with all that there may be."""
    tree = tmp_path / "tree"
    deep = tree / ("d" * 90) / ("e" * 90) / ("f" * 90)
    deep.mkdir(parents=True)
    (deep / ("n" * 255)).write_text("far")
    (tree / ("x" * 101)).write_text("just too long")
    (tree / ("y" * 95)).write_text("just not")
    (tree / os.fsdecode(b"odd \xff\n=")).write_text("odd")
    (tree / "empty").touch()
    (tree / "block").write_bytes(bytes(range(256)) * 2)
    (tree / "more").write_bytes(os.urandom(200_001))
    with open(tree / "hole", "wb") as hole:
        hole.truncate(300_000)
        hole.seek(100_000)
        hole.write(b"within")
    (tree / "run").write_text("#!/bin/sh")
    (tree / "run").chmod(0o6755)
    (tree / "sticky").mkdir()
    (tree / "soft").symlink_to("t" * 300)
    (tree / "short").symlink_to("../elsewhere")
    os.link(tree / "more", tree / "sticky/again")
    os.mkfifo(tree / "pipe", 0o640)
    (tree / "sticky").chmod(0o1777)
    if takes_attributes:
        os.setxattr(tree / "run", "user.note", b"a\n=\0b")
        os.setxattr(tree / "sticky", "user.empty", b"")
    if IS_ROOT:
        os.mknod(tree / "null", 0o20666, os.makedev(1, 3))
        os.mknod(tree / "high", 0o60600, os.makedev(4095, 1048575))
        os.chown(tree / "block", 4_000_000_000, 3_000_000)
    for name, time_ns in [
        ("empty", 0),
        ("block", -1_500_000_000),
        ("run", 1),
        ("more", 1 << 62),
        ("soft", -7),
    ]:
        os.utime(tree / name, ns=(time_ns, time_ns), follow_symlinks=False)
    return tree


@pytest.fixture
def written(applets: Path, source: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as listener:  # which no archive can have
        listener.bind(f"/proc/self/fd/{os.open(source, os.O_PATH)}/s")
    done = subprocess.run([applets, "tar-out", "--", source], capture_output=True, timeout=60)
    (source / "s").unlink()
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def below_root(tree: Tree) -> Tree:
    """Without "tree/" before the names."""
    return {
        path.partition(b"/")[2]: seen._replace(names=tuple(name.partition(b"/")[2] for name in seen.names))
        for path, seen in tree.items()
        if b"/" in path
    }


def test_the_package_reads_what_the_agent_writes(source: Path, written: bytes) -> None:
    described = {path: plain(seen) for path, seen in below_root(described_by(written)).items()}
    assert described == {path: plain(seen) for path, seen in made_in(source).items()}


def test_the_agent_reads_what_it_writes(applets: Path, source: Path, written: bytes, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    subprocess.run([applets, "tar-in", tmp_path / "copy"], input=written, check=True, timeout=60)
    made, there = made_in(tmp_path / "copy/tree"), made_in(source)
    assert {path: plain(seen) for path, seen in made.items()} == {
        path: plain(seen) for path, seen in there.items()
    }
    assert (tmp_path / "copy/tree/hole").stat().st_blocks * 512 < 300_000


def test_gnu_tar_reads_what_the_agent_writes(source: Path, written: bytes, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    words = [
        "tar",
        "-xpf",
        "-",
        "-C",
        str(tmp_path / "copy"),
        "--xattrs",
        "--xattrs-include=user.*",
        "--numeric-owner",
    ]
    done = subprocess.run(words, input=written, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    made, there = made_in(tmp_path / "copy/tree"), made_in(source)
    assert made.keys() == there.keys()
    for path, seen in there.items():
        assert plain(made[path]) == plain(seen)


def test_pythons_reader_reads_what_the_agent_writes(source: Path, written: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(written), errors="surrogateescape") as archive:
        found = {
            os.fsencode(member.name).partition(b"/")[2]: member for member in archive if "/" in member.name
        }
        there = made_in(source)
        assert found.keys() == there.keys()
        for path, member in found.items():
            seen = there[path]
            if member.islnk():
                assert os.fsencode(member.linkname).partition(b"/")[2] in seen.names and path in seen.names
                continue
            assert (member.uid, member.gid) == (seen.uid, seen.gid)
            assert abs(member.mtime - seen.mtime_ns / 1e9) < 1e-3
            if seen.kind is Kind.SYMLINK:
                assert os.fsencode(member.linkname) == seen.data
            elif seen.kind is Kind.FILE:
                contents = archive.extractfile(member)
                assert contents is not None and contents.read() == seen.data
            elif seen.kind in (Kind.CHAR, Kind.BLOCK):
                assert b"%d:%d" % (member.devmajor, member.devminor) == seen.data
            if seen.kind is not Kind.SYMLINK:
                assert member.mode == seen.mode


def test_a_file_of_more_than_octal_digits_can_say_has_its_size(applets: Path, tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as large:
        large.truncate((8 << 30) + 1)
    with subprocess.Popen([applets, "tar-out", tmp_path / "large"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            first = archive.next()
        process.kill()
    assert first is not None and (first.name, first.size) == ("large", (8 << 30) + 1)


def test_holes_are_not_in_what_the_agent_writes(applets: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with open(tmp_path / "holes", "wb") as file:
        for number in range(300):
            file.seek(number * 10_000_000)
            file.write(os.urandom(5000))
        file.truncate(1 << 40)
    done = subprocess.run([applets, "tar-out", "--", tmp_path / "holes"], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout) < 4 << 20
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        [member] = archive
        assert (member.name, member.size) == ("holes", 1 << 40)
        contents = archive.extractfile(member)
        assert contents is not None
        with open(tmp_path / "holes", "rb") as file:
            assert contents.read(3_000_000) == file.read(3_000_000)
            for reader in (contents, file):
                reader.seek(299 * 10_000_000 - 100)
            assert contents.read(10_000) == file.read(10_000)
    subprocess.run([applets, "tar-in", tmp_path / "copy"], input=done.stdout, check=True, timeout=60)
    made = (tmp_path / "copy/holes").stat()
    assert (made.st_size, made.st_blocks * 512 < 8 << 20) == (1 << 40, True)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("way",), [("way", tarfile.SYMTYPE)]),
        (("way/",), [("way", tarfile.DIRTYPE), ("way/f", tarfile.REGTYPE)]),
        (("--follow", "way"), [("way", tarfile.DIRTYPE), ("way/f", tarfile.REGTYPE)]),
        (("--follow", "to f"), [("to f", tarfile.REGTYPE)]),
        (("place/.",), [(".", tarfile.DIRTYPE), ("./f", tarfile.REGTYPE)]),
        (("--", "-f"), [("-f", tarfile.REGTYPE)]),
        (("place/f", "-f"), [("f", tarfile.REGTYPE), ("-f", tarfile.REGTYPE)]),
    ],
)
def test_what_is_asked_for_is_written_by_its_name(
    applets: Path, tmp_path: Path, words: tuple[str, ...], names: list[tuple[str, bytes]]
) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place/f").write_text("f")
    (tmp_path / "-f").write_text("f")
    (tmp_path / "way").symlink_to("place")
    (tmp_path / "to f").symlink_to("place/f")
    done = subprocess.run([applets, "tar-out", *words], cwd=tmp_path, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert [(member.name, member.type) for member in archive] == names


@pytest.fixture(autouse=True)
def no_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)
