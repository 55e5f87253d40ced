"""The tar reader: every form of header that images have, and nothing that is not one."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.tar.cursor import Cursor
from banger.tar.entries import read_entries, skip_data
from banger.tar.entry import Entry
from banger.tar.failure import Corrupt, Refused, TarFailure, TooLarge, printable
from banger.tar.header import parse_number
from banger.tar.kind import Kind
from banger.tar.limits import Bounds
from banger.tar.record_values import parse_time_ns
from tests.support.archives import LONG, long_name, old_sparse, sparse_forms
from tests.support.layers import END, Member, base256, extended, header, padded, tar_of


def entries_of(tar: bytes, chunk: int = 700) -> list[Entry]:
    """In chunks of an awkward size, so that headers are cut; each is gone when the next one comes."""
    buffer = memoryview(bytearray(chunk))

    def fill() -> Iterator[memoryview]:
        for at in range(0, len(tar), chunk):
            piece = tar[at : at + chunk]
            buffer[: len(piece)] = piece
            yield buffer[: len(piece)]

    chunks = fill()
    cursor = Cursor(lambda: next(chunks, None))
    found = []
    for entry in read_entries(cursor, Bounds(), lambda name: True):
        skip_data(cursor, entry)
        found.append(entry)
    return found


def only(tar: bytes) -> Entry:
    (entry,) = entries_of(tar)
    return entry


@pytest.mark.parametrize(
    ("tar", "attribute", "value"),
    [
        (header(b"a"), "path", b"a"),
        (header(b"n" * 100), "path", b"n" * 100),
        (header(b"b", prefix=b"p" * 155), "path", b"p" * 155 + b"/b"),
        (header(b"b", magic=b"ustar  \0", prefix=b"12345"), "path", b"b"),
        (header(b"b", magic=bytes(8)), "path", b"b"),
        (long_name(LONG) + header(b"cut"), "path", LONG),
        (long_name(LONG, b"K") + header(b"l", flag=b"2", target=b"cut"), "target", LONG),
        (long_name(LONG, b"K") + long_name(b"x") + header(b"cut", flag=b"1"), "target", LONG),
        (extended((b"path", LONG)) + header(b"cut"), "path", LONG),
        (extended((b"path", b"")) + header(b"kept"), "path", b"kept"),
        (extended((b"path", b"one"), (b"path", b"")) + header(b"kept"), "path", b"kept"),
        (extended((b"size", b"9"), (b"size", b"")) + header(b"a", 3) + padded(b"abc"), "size", 3),
        (extended((b"uid", b"9"), (b"uid", b"")) + header(b"a", uid=7), "uid", 7),
        (extended((b"mtime", b"9"), (b"mtime", b"")) + header(b"a", mtime=7), "mtime_ns", 7_000_000_000),
        (
            extended((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.major", b""))
            + header(b"a", 3)
            + padded(b"abc"),
            "segments",
            None,
        ),
        (extended((b"linkpath", LONG)) + header(b"l", flag=b"2", target=b"t"), "target", LONG),
        (extended((b"path", b"new\n=\xff")) + header(b"x"), "path", b"new\n=\xff"),
        (extended((b"path", b"g"), flag=b"g") + header(b"x"), "path", b"x"),
        (extended((b"comment", b"a=b"), (b"atime", b"x")) + header(b"x"), "path", b"x"),
        (header(b"a", uid=0o7777777), "uid", 0o7777777),
        (header(b"a", uid=base256(4294967294, 8)), "uid", 4294967294),
        (extended((b"uid", b"4294967294")) + header(b"a"), "uid", 4294967294),
        (extended((b"uid", b"4294967295")) + header(b"a"), "uid", 0),
        (extended((b"uid", b"-2")) + header(b"a"), "uid", 4294967294),
        (header(b"a", gid=base256(-1, 8)), "gid", 0),
        (header(b"a", uid=b"\0\0" + b"01750\0"), "uid", 1000),
        (header(b"a", mtime=b"\0\0\0" + b"00000017 "), "mtime_ns", 15_000_000_000),
        (header(b"a", b"\0 \0" + b"00000003 ") + padded(b"abc"), "size", 3),
        (extended((b"size", b"0" * 40 + b"5")) + header(b"a") + padded(b"12345"), "size", 5),
        (extended((b"path", b"one"), (b"uid", b"5")) + extended((b"gid", b"6")) + header(b"a"), "path", b"a"),
        (extended((b"path", b"one")) + extended((b"path", b"two")) + header(b"a"), "path", b"two"),
        (extended((b"path", b"pax")) + long_name(LONG) + header(b"a"), "path", LONG),
        (long_name(LONG) + extended((b"path", b"pax")) + header(b"a"), "path", LONG),
        (long_name(b"cut\0off") + header(b"a"), "path", b"cut"),
        (long_name(b"") + header(b"kept"), "path", b"kept"),
        (long_name(b"cut\0off", b"K") + header(b"a", flag=b"2"), "target", b"cut"),
        (long_name(b"one") * 3000 + long_name(LONG) + header(b"a"), "path", LONG),
        (extended((b"path", LONG), flag=b"X") + header(b"a"), "path", LONG),
        (header(b"x", 20, b"x") + padded(b"10 path=b\n" + bytes(10)) + header(b"a"), "path", b"b"),
        (header(b"label", flag=b"V", magic=b"ustar  \0") + header(b"a"), "path", b"a"),
        (header(b"label", 5, flag=b"A") + padded(b"rules") + header(b"a"), "path", b"a"),
        (header(b"d/", 7, flag=b"D", magic=b"ustar  \0") + padded(b"Yname\0\0"), "kind", Kind.DIRECTORY),
        (header(b"d/", 5, flag=b"\0", magic=bytes(8)), "kind", Kind.DIRECTORY),
        (header(b"d/", 5, flag=b"\0", magic=bytes(8)), "stored", 0),
        (header(b"b", magic=b"ustar  \0", prefix=b"of/old/go"), "path", b"of/old/go/b"),
        (
            header(b"b", tail=(b"p" * 131 + b"00000000001 " * 2).ljust(163, b"\0") + b"tar\0"),
            "path",
            b"p" * 131 + b"/b",
        ),
        (
            extended((b"SCHILY.devmajor", b"300"), (b"SCHILY.devminor", b"70000")) + header(b"a", flag=b"3"),
            "device",
            (300, 70000),
        ),
        (
            extended((b"LIBARCHIVE.xattr.user.a%20b", b"dmFsdWU")) + header(b"a"),
            "xattrs",
            {b"user.a b": b"value"},
        ),
        (
            extended((b"SCHILY.xattr.user.a", b"1"), (b"LIBARCHIVE.xattr.user.a", b"Mg")) + header(b"a"),
            "xattrs",
            {b"user.a": b"1"},
        ),
        (extended((b"gid", b"70000")) + header(b"a"), "gid", 70000),
        (header(b"a", mode=0o104755), "mode", 0o4755),
        (header(b"a", mode=b"   644 \0"), "mode", 0o644),
        (header(b"a", mode=bytes(8)), "mode", 0),
        (header(b"a", mtime=base256(-2, 12)), "mtime_ns", -2_000_000_000),
        (extended((b"mtime", b"-1.5")) + header(b"a"), "mtime_ns", -1_500_000_000),
        (extended((b"mtime", b"1.123456789999")) + header(b"a"), "mtime_ns", 1_123_456_789),
        (header(b"a", 3) + padded(b"abc"), "size", 3),
        (header(b"a", base256(700, 12)) + bytes(1024), "stored", 700),
        (extended((b"size", b"5")) + header(b"a", 0) + padded(b"12345"), "size", 5),
        (header(b"d/", flag=b"\0"), "kind", Kind.DIRECTORY),
        (header(b"a", flag=b"\0"), "kind", Kind.FILE),
        (header(b"a", flag=b"7"), "kind", Kind.FILE),
        (header(b"a", flag=b"1", target=b"b"), "kind", None),
        (header(b"a", 99, flag=b"1", target=b"b"), "stored", 0),
        (header(b"a", 99, flag=b"5"), "stored", 0),
        (header(b"a", flag=b"2", target=b"t", mode=0o644), "mode", 0o777),
        (header(b"a", flag=b"6"), "kind", Kind.FIFO),
        (header(b"a", flag=b"3", device=(1, 3)), "device", (1, 3)),
        (header(b"a", flag=b"4", device=(259, 70000)), "device", (259, 70000)),
        (
            extended(
                (b"SCHILY.xattr.security.capability", b"\1\0\0\2\0=\n\xff"), (b"SCHILY.xattr.user.e", b"")
            )
            + header(b"a"),
            "xattrs",
            {b"security.capability": b"\1\0\0\2\0=\n\xff", b"user.e": b""},
        ),
    ],
)
def test_a_header_is_read_as_it_is_meant(tar: bytes, attribute: str, value: object) -> None:
    assert getattr(only(tar + END), attribute) == value


def test_what_one_header_says_does_not_concern_the_next() -> None:
    first = extended((b"path", b"p"), (b"uid", b"7"), (b"SCHILY.xattr.user.x", b"1")) + header(b"a")
    one, two = entries_of(first + header(b"b", mode=0o755) + END)
    assert (one.path, one.uid, one.xattrs) == (b"p", 7, {b"user.x": b"1"})
    assert (two.path, two.uid, two.mode, two.xattrs) == (b"b", 0, 0o755, None)


@pytest.mark.parametrize("end", [END, bytes(512), b"", bytes(10240), END + b"anything" * 1000])
def test_archives_end_in_many_ways(end: bytes) -> None:
    assert [entry.path for entry in entries_of(header(b"a") + end)] == [b"a"]
    assert entries_of(end) == []


def test_the_last_block_may_be_short() -> None:
    assert only(header(b"a", 3) + b"abc").size == 3


def test_checksums_of_signed_bytes_are_known() -> None:
    block = header(b"\xff" * 90)
    signed = sum(b - 256 if b > 127 else b for b in block[:148] + b" " * 8 + block[156:])
    assert only(header(b"\xff" * 90, checksum=b"%06o\0 " % signed) + END).path == b"\xff" * 90


@pytest.mark.parametrize(("form", "tar"), sparse_forms())
def test_every_form_of_sparse_file_is_read(form: str, tar: bytes) -> None:
    entry = only(tar + END)
    segments = entry.segments or ()
    assert (entry.path, entry.size, entry.stored) == (b"s", 10000, 5)
    assert [(at, n) for at, n in segments if at >= 5000] == [(5000, 3)]
    assert sum(n for at, n in segments if at < 5000) == 2


@pytest.mark.parametrize(
    ("tar", "kind", "says"),
    [
        (header(b"a", checksum=b"000001\0 "), Corrupt, "checksum"),
        (header(b"a", checksum=b"00z001\0 "), Corrupt, "checksum"),
        (header(b"a")[:300], Corrupt, "ends in the middle"),
        (header(b"a", 600) + bytes(512), Corrupt, "ends in the middle"),
        (b"x" * 512, Corrupt, "checksum"),
        (header(b"a", b"12z\0".ljust(12, b"\0")), Corrupt, "a number of the header"),
        (header(b"a", b"-0000000001\0"), Corrupt, "a number of the header"),
        (header(b"a", b"00000000009\0"), Corrupt, "a number of the header"),
        (header(b"a", base256(-1, 12)), Corrupt, "its size is -1"),
        (header(b"a", base256(1 << 70, 12)), Corrupt, "beyond 64 bits"),
        (header(b"a", base256(1 << 50, 12)), TooLarge, "its length is"),
        (header(b"a", uid=base256(1 << 32, 8)), Corrupt, "out of range"),
        (header(b"a", gid=base256(-(1 << 31) - 1, 8)), Corrupt, "out of range"),
        (header(b"a", flag=b"3", device=(1 << 12, 0)), Corrupt, "its device number is 4096:0"),
        (header(b"a", flag=b"4", device=(0, 1 << 20)), Corrupt, "its device number is 0:1048576"),
        (extended((b"SCHILY.devmajor", b"4096")) + header(b"a", flag=b"3"), Corrupt, "number is 4096:0"),
        (header(b"a", flag=b"Q"), Refused, "type"),
        (header(b"a", 9, flag=b"M"), Refused, "another volume"),
        (header(b"a", 9, flag=b"N"), Refused, "table of names"),
        (header(b"d/", 9, flag=b"0") + bytes(512), Corrupt, "a directory with data"),
        (extended((b"LIBARCHIVE.xattr.user.a", b"?")) + header(b"a"), Corrupt, "attribute"),
        (header(b"a", flag=b"2"), Refused, "a link to a name of 0 bytes"),
        (header(b"a", flag=b"1"), Refused, "a link to a name of 0 bytes"),
        (long_name(b"x" * 4096, b"K") + header(b"a", flag=b"2"), Refused, "4096"),
        (header(b"x", (1 << 20) + 1, b"x"), TooLarge, "extended header"),
        (header(b"x", (1 << 20) + 1, b"L"), TooLarge, "extended header"),
        (extended((b"path", b"a")), Corrupt, "belongs to nothing"),
        (header(b"x", 9, b"x") + padded(b"99 a=bcd\n") + header(b"a"), Corrupt, "wrong length"),
        (header(b"x", 7, b"x") + padded(b"6 a=bc\n") + header(b"a"), Corrupt, "wrong length"),
        (header(b"x", 6, b"x") + padded(b"6 abc\n") + header(b"a"), Corrupt, "wrong length"),
        (header(b"x", 5, b"x") + padded(b"5 =a\n") + header(b"a"), Corrupt, "wrong length"),
        (header(b"x", 5, b"x") + padded(b"a b=c") + header(b"a"), Corrupt, "without a length"),
        (header(b"x", 5, b"x") + padded(b"0 =a\n") + header(b"a"), Corrupt, "wrong length"),
        (header(b"x", 20, b"x") + padded(b"99999999999999999999"), Corrupt, "without a length"),
        (extended((b"size", b"-1")) + header(b"a"), Corrupt, "has the number"),
        (extended((b"size", b"9" * 5000)) + header(b"a"), Corrupt, "has the number"),
        (extended((b"uid", b"4294967296")) + header(b"a"), Corrupt, "out of range"),
        (extended((b"mtime", b"1.x")) + header(b"a"), Corrupt, "has the time"),
        (extended((b"mtime", b"--1")) + header(b"a"), Corrupt, "has the number"),
        (extended((b"mtime", b".")) + header(b"a"), Corrupt, "has the time"),
        (extended((b"path", b"a\0b")) + header(b"a"), Refused, "NUL"),
        (extended((b"linkpath", b"a\0b")) + header(b"a", flag=b"2"), Refused, "NUL"),
        (extended((b"SCHILY.xattr.", b"1")) + header(b"a"), Refused, "extended attribute"),
        (extended((b"SCHILY.xattr.user.\0", b"1")) + header(b"a"), Refused, "extended attribute"),
        (header(b"a") + bytes(512) + header(b"b"), Corrupt, "goes on after"),
        (header(b"d/", 512) + bytes(512), Corrupt, "directory with data"),
        (old_sparse([(0, 2), (1, 3)], 10, 5) + bytes(512), Corrupt, "contradicts itself"),
        (old_sparse([(0, 20)], 10, 20) + bytes(512), Corrupt, "contradicts itself"),
        (old_sparse([(0, 2)], 10, 5) + bytes(512), Corrupt, "names 2 bytes"),
        (old_sparse([(0, 5)], 1 << 33, 5, more=True), Corrupt, "ends in the middle"),
        (
            extended((b"GNU.sparse.map", b"0,1,2"), (b"GNU.sparse.size", b"9")) + header(b"a"),
            Corrupt,
            "without",
        ),
        (extended((b"GNU.sparse.map", b"0,x"), (b"GNU.sparse.size", b"9")) + header(b"a"), Corrupt, "number"),
        (extended((b"GNU.sparse.map", b"0,1")) + header(b"a"), Corrupt, "does not say the size"),
        (extended((b"GNU.sparse.unheard", b"1")) + header(b"a"), Corrupt, "unknown"),
        (extended((b"GNU.sparse.major", b"2")) + header(b"a"), Corrupt, "unknown"),
        (extended((b"GNU.sparse.major", b"1")) + header(b"a"), Corrupt, "unknown"),
        (extended((b"GNU.sparse.numblocks", b"1")) + header(b"a"), Corrupt, "does not say the size"),
        (extended((b"GNU.sparse.numbytes", b"1")) + header(b"a"), Corrupt, "in the wrong place"),
        (extended(*2 * [(b"GNU.sparse.offset", b"1")]) + header(b"a"), Corrupt, "in the wrong place"),
        (
            extended((b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.offset", b"1")) + header(b"a"),
            Corrupt,
            "in the wrong place",
        ),
        (
            extended((b"GNU.sparse.name", b"a\0b"), (b"GNU.sparse.map", b"")) + header(b"a"),
            Refused,
            "NUL",
        ),
        *(
            (
                extended(
                    (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9")
                )
                + header(b"a", 512)
                + padded(lines),
                kind,
                says,
            )
            for lines, kind, says in [
                (b"3\n1\n", Corrupt, "does not end"),
                (b"1\nx\n9\n", Corrupt, "has the number"),
                (b"1" * 512, Corrupt, "does not end"),
                (b"999999999\n", TooLarge, "stretches"),
                (b"1\n0\n9\n", Corrupt, "names 9 bytes"),
            ]
        ),
    ],
)
def test_what_is_wrong_is_said(tar: bytes, kind: type[TarFailure], says: str) -> None:
    with pytest.raises(kind, match=re.escape(says)):
        entries_of(tar)


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [(b"0", 0), (b"1", 10**9), (b"-0.5", -(5 * 10**8)), (b".5", 5 * 10**8), (b"7.", 7 * 10**9)],
)
def test_times_are_exact(text: bytes, time_ns: int) -> None:
    assert parse_time_ns(text) == time_ns


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_base_256_numbers_are_read_as_they_are_written(number: int) -> None:
    assert parse_number(base256(number, 12)) == number


@pytest.mark.parametrize(
    ("name", "shown"),
    [(b"plain", "plain"), (b"\xff\n", "\\xff\\n"), ("ä".encode(), "ä"), (b"\x1b[2J", "\\x1b[2J")],
)
def test_names_are_shown_without_harm(name: bytes, shown: str) -> None:
    assert printable(name) == shown


def damaged_sources() -> list[bytes]:
    sources = [tar + END for _, tar in sparse_forms()]
    sources.append(
        extended((b"path", LONG), (b"mtime", b"1.5"), (b"SCHILY.xattr.user.a", b"b")) + header(b"x") + END
    )
    sources.append(long_name(LONG) + long_name(LONG, b"K") + header(b"l", flag=b"2", target=b"t") + END)
    sources.append(
        tar_of([Member(b"a", data=b"x" * 700), Member(b"d", "dir"), Member(b"l", "link", target=b"a")])
    )
    return sources


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(damaged_sources()), st.randoms(use_true_random=False), st.integers(1, 6), st.booleans()
)
def test_damage_is_an_error_or_harmless(source: bytes, chance: random.Random, times: int, mend: bool) -> None:
    tar = bytearray(source)
    for _ in range(times):
        tar[chance.randrange(len(tar))] = chance.choice(
            [0, 0x20, 0x31, 0x35, 0x78, 0x80, 0xFF, chance.randrange(256)]
        )
    if mend:
        for at in range(0, len(tar), 512):
            block = tar[at : at + 512]
            if any(block):
                tar[at + 148 : at + 156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 256)
    try:
        entries_of(bytes(tar[: chance.randint(0, len(tar))] if chance.random() < 0.3 else tar))
    except TarFailure:
        pass
