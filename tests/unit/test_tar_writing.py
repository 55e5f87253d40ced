"""The tar writer: what it writes is read again as it was, by our reader and by another."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.tar.cursor import Cursor
from banger.tar.entries import read_entries, skip_data
from banger.tar.entry import Entry
from banger.tar.kind import Kind
from banger.tar.limits import Bounds
from banger.tar.writer import END, padding, write_headers

_names = st.binary(min_size=1, max_size=300).map(lambda name: name.replace(b"\0", b"x").rstrip(b"/") or b"n")
_ids = st.integers(0, (1 << 32) - 2)
_times = st.integers(-(1 << 62), 1 << 62)
_keys = st.binary(min_size=1, max_size=40).map(
    lambda key: b"user." + key.replace(b"\0", b"a").replace(b"=", b"b")
)
_xattrs = st.none() | st.dictionaries(_keys, st.binary(max_size=600), min_size=1, max_size=3)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from([None, *set(Kind) - {Kind.SOCKET}]))
    mode = 0o777 if kind is Kind.SYMLINK else draw(st.integers(0, 0o7777))
    owner = (mode, draw(_ids), draw(_ids))
    entry = Entry(draw(_names), kind, owner, draw(_times), 0)
    if kind in (None, Kind.SYMLINK):
        entry.target = draw(_names)
    elif kind in (Kind.CHAR, Kind.BLOCK):
        entry.device = draw(st.tuples(st.integers(0, 0xFFF), st.integers(0, 0xFFFFF)))
    elif kind is Kind.FILE:
        _draw_size(draw, entry)
    entry.xattrs = draw(_xattrs)
    return entry


def _draw_size(draw: st.DrawFn, entry: Entry) -> None:
    if draw(st.booleans()):
        entry.size = entry.stored = draw(st.integers(0, 3000))
        return
    at, segments = 0, list[tuple[int, int]]()
    for hole, length in draw(st.lists(st.tuples(st.integers(0, 1 << 36), st.integers(1, 900)), max_size=60)):
        segments.append((at + hole, length))
        at += hole + length
    entry.segments = tuple(segments)
    entry.size = at + draw(st.integers(0, 1 << 36))
    entry.stored = sum(length for _, length in segments)


def packed(*members: Entry) -> bytes:
    return (
        b"".join(write_headers(entry) + b"x" * entry.stored + padding(entry.stored) for entry in members)
        + END
    )


def read(data: bytes) -> list[Entry]:
    chunks = iter([memoryview(data)])
    cursor, found = Cursor(lambda: next(chunks, None)), []
    for entry in read_entries(cursor, Bounds(), lambda name: True, to_its_end=True):
        skip_data(cursor, entry)
        found.append(entry)
    return found


def fields(entry: Entry) -> dict[str, object]:
    found = {name: getattr(entry, name) for name in Entry.__slots__}
    if entry.kind is Kind.DIRECTORY:
        found["path"] = entry.path.rstrip(b"/")
    return found


@given(st.lists(entries(), max_size=3))
def test_what_is_written_is_read_as_it_was(members: list[Entry]) -> None:
    assert [fields(entry) for entry in read(packed(*members))] == [fields(entry) for entry in members]


@pytest.mark.parametrize("length", [1, 99, 100, 101, 255, 5000])
def test_others_read_long_names_too(length: int) -> None:
    entry = Entry(b"n" * length, Kind.FILE, (0o640, 1, 5_000_000), -1_500_000_000, 3)
    entry.stored = 3
    with tarfile.open(fileobj=io.BytesIO(packed(entry))) as tar:
        (info,) = tar
    assert (info.name, info.size, info.mode) == ("n" * length, 3, 0o640)
    assert (info.uid, info.gid, info.mtime) == (1, 5_000_000, -1.5)


def test_others_read_holes_too() -> None:
    entry = Entry(b"s", Kind.FILE, (0o600, 0, 0), 0, 1 << 20)
    entry.segments, entry.stored = ((4096, 2),), 2
    with tarfile.open(fileobj=io.BytesIO(packed(entry))) as tar:
        (info,) = tar
        file = tar.extractfile(info)
        assert file is not None
        assert file.read() == bytes(4096) + b"xx" + bytes((1 << 20) - 4098)


def test_a_plain_file_takes_one_block() -> None:
    assert len(write_headers(Entry(b"a/b", Kind.FILE, (0o644, 0, 0), 0, 5))) == 512
