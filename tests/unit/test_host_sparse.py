"""Sparse files: holes are neither read nor written, and copies have them where the original has."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger.host.sparse import BLOCK, CHUNK, copy_file, copy_sparse, data_extents, read_sparse, write_sparse

TAIL = 100


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def make_sparse(path: Path, blocks: Sequence[bool], tail: int = TAIL) -> bytes:
    """A file with data where `blocks` says so, 64 KiB each, and `tail` bytes of a hole; its bytes."""
    unit = 16 * BLOCK
    with opened(path) as fd:
        os.ftruncate(fd, unit * len(blocks) + tail)
        for number, data in enumerate(blocks):
            if data:
                os.pwrite(fd, bytes([number + 1]) * unit, number * unit)
    return path.read_bytes()


@pytest.fixture
def no_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    def ioctl(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "no clone")

    monkeypatch.setattr(fcntl, "ioctl", ioctl)


def test_extents_are_where_data_is(tmp_path: Path) -> None:
    make_sparse(tmp_path / "file", [False, True, True, False, True])
    unit = 16 * BLOCK
    with opened(tmp_path / "file") as fd:
        assert list(data_extents(fd)) == [(unit, 3 * unit), (4 * unit, 5 * unit)]


@pytest.mark.parametrize("size", [0, 1, BLOCK, 5 * CHUNK])
def test_a_file_that_is_one_hole_has_no_extents(tmp_path: Path, size: int) -> None:
    make_sparse(tmp_path / "file", [], size)
    with opened(tmp_path / "file") as fd:
        assert list(data_extents(fd)) == []
        assert sum(len(piece) for piece in read_sparse(fd)) == size


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.booleans(), max_size=40), st.integers(0, 2 * BLOCK))
def test_reading_gives_the_same_bytes_and_copying_the_same_file(
    tmp_path: Path, blocks: list[bool], tail: int
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.unlink(missing_ok=True)
    expected = make_sparse(source, blocks, tail)
    target.write_bytes(b"what was there before" * 1000)
    with opened(source) as source_fd, opened(target) as target_fd:
        assert b"".join(bytes(piece) for piece in read_sparse(source_fd)) == expected
        copy_sparse(source_fd, target_fd)
        assert list(data_extents(target_fd)) == list(data_extents(source_fd))
    assert target.read_bytes() == expected


def test_holes_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_sparse(tmp_path / "file", [False, True], 100 * CHUNK)
    read: list[int] = []
    preadv = os.preadv

    def counted(fd: int, buffers: Sequence[memoryview], offset: int) -> int:
        read.append(preadv(fd, buffers, offset))
        return read[-1]

    monkeypatch.setattr(os, "preadv", counted)
    with opened(tmp_path / "file") as fd:
        assert sum(len(piece) for piece in read_sparse(fd)) == 32 * BLOCK + 100 * CHUNK
    assert sum(read) == 16 * BLOCK


def fails_with(code: int) -> Callable[..., int]:
    def copy_file_range(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    return copy_file_range


def copies_a_little(source: int, target: int, count: int, offset: int, target_offset: int) -> int:
    """As between file systems of which one answers the second call with nothing."""
    return os.pwrite(target, os.pread(source, 10, offset), target_offset) if offset % BLOCK == 0 else 0


@pytest.mark.parametrize(
    "copy_file_range", [fails_with(errno.EXDEV), fails_with(errno.EINVAL), copies_a_little]
)
def test_what_the_kernel_does_not_copy_is_copied_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_clone: None, copy_file_range: Callable[..., int]
) -> None:
    expected = make_sparse(tmp_path / "source", [True, False, True] + [True] * 40)
    monkeypatch.setattr(os, "copy_file_range", copy_file_range)
    with opened(tmp_path / "source") as source, opened(tmp_path / "target") as target:
        copy_sparse(source, target)
        assert list(data_extents(target)) == list(data_extents(source))
    assert (tmp_path / "target").read_bytes() == expected


def test_a_copy_takes_no_more_disk_than_the_original(tmp_path: Path, no_clone: None) -> None:
    make_sparse(tmp_path / "source", [True, False, False, True], 1000 * CHUNK)
    with opened(tmp_path / "source") as source, opened(tmp_path / "target") as target:
        copy_sparse(source, target)
        assert os.fstat(target).st_size == os.fstat(source).st_size
        assert os.fstat(target).st_blocks <= 40 * BLOCK // 512


def test_a_clone_is_all_there_is_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(fcntl, "ioctl", lambda *arguments: asked.append(arguments))
    make_sparse(tmp_path / "source", [True])
    with opened(tmp_path / "source") as source, opened(tmp_path / "target") as target:
        copy_sparse(source, target)
        assert [(arguments[0], arguments[2]) for arguments in asked] == [(target, source)]


@pytest.mark.parametrize("where", ["ioctl", "copy_file_range"])
def test_a_full_disk_is_no_reason_to_try_another_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    make_sparse(tmp_path / "source", [True])
    monkeypatch.setattr(fcntl, "ioctl", fails_with(errno.ENOSPC if where == "ioctl" else errno.EOPNOTSUPP))
    monkeypatch.setattr(os, "copy_file_range", fails_with(errno.ENOSPC))
    with opened(tmp_path / "source") as source, opened(tmp_path / "target") as target:
        with pytest.raises(OSError) as caught:
            copy_sparse(source, target)
        assert caught.value.errno == errno.ENOSPC


def test_a_copied_file_is_new_and_private(tmp_path: Path) -> None:
    expected = make_sparse(tmp_path / "source", [True, False, True])
    copy_file(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == expected
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        copy_file(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == expected


def test_a_copy_that_fails_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_clone: None
) -> None:
    make_sparse(tmp_path / "source", [True])
    monkeypatch.setattr(os, "copy_file_range", fails_with(errno.ENOSPC))
    with pytest.raises(OSError):
        copy_file(tmp_path / "source", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_file_that_gets_shorter_is_an_error_not_zeros(tmp_path: Path) -> None:
    make_sparse(tmp_path / "file", [True] * 40)
    with opened(tmp_path / "file") as fd, pytest.raises(OSError) as caught:
        for _ in read_sparse(fd):
            os.ftruncate(fd, CHUNK)
    assert caught.value.errno == errno.EIO


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.booleans(), max_size=20), st.integers(1, BLOCK), st.booleans(), st.integers(0, 3))
def test_zeros_are_not_written(
    tmp_path: Path, blocks: list[bool], tail: int, tail_data: bool, start: int
) -> None:
    data = b"".join((b"x" if block else b"\0").ljust(BLOCK, b"\0") for block in blocks)
    data += (b"y" if tail_data else b"\0") * tail
    path = tmp_path / "file"
    path.unlink(missing_ok=True)
    with opened(path) as fd:
        os.ftruncate(fd, start * BLOCK + len(data))
        write_sparse(fd, bytearray(data) + b"beyond", len(data), start * BLOCK)
        written = sum(end - begin for begin, end in data_extents(fd))
        assert written == BLOCK * sum(blocks) + tail * tail_data
    assert path.read_bytes() == bytes(start * BLOCK) + data


def test_a_chunk_of_zeros_costs_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", fails_with(errno.EIO))
    write_sparse(-1, bytes(CHUNK), CHUNK, 0)
    write_sparse(-1, bytes(BLOCK + 5), BLOCK + 5, 0)
    write_sparse(-1, b"", 0, 0)
