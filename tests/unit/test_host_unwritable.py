"""Files for processes that are not trusted: whoever has the descriptor cannot write to the file by it."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from banger.host import unwritable
from banger.host.unwritable import open_unwritable


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "memory"
    path.write_bytes(b"frozen")
    path.chmod(0o600)
    return path


def test_a_descriptor_is_for_reading(file: Path) -> None:
    fd = open_unwritable(file)
    try:
        assert os.pread(fd, 10, 0) == b"frozen"
        with pytest.raises(OSError):
            os.pwrite(fd, b"x", 0)
    finally:
        os.close(fd)


@pytest.mark.parametrize("flags", [os.O_RDWR, os.O_WRONLY, os.O_WRONLY | os.O_TRUNC])
def test_opening_it_anew_by_its_descriptor_does_not_help(file: Path, flags: int) -> None:
    fd = open_unwritable(file)
    try:
        with pytest.raises(OSError):
            os.close(os.open(f"/proc/self/fd/{fd}", flags))
        assert file.read_bytes() == b"frozen"
    finally:
        os.close(fd)


def test_its_owner_may_still_write_link_and_remove_it(file: Path) -> None:
    fd = open_unwritable(file)
    try:
        os.link(file, file.with_name("link"))
        file.unlink()
        assert os.pread(fd, 10, 0) == b"frozen"
    finally:
        os.close(fd)


def test_the_mode_has_to_do_where_nothing_can_be_mounted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unwritable, "_clone_mount", lambda path: None)
    fd = open_unwritable(file)
    os.close(fd)
    assert file.stat().st_mode & 0o777 == 0o400


def test_no_descriptor_stays_open(file: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    os.close(open_unwritable(file))
    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(FileNotFoundError):
        open_unwritable(file.with_name("nothing"))
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_mount_is_not_seen_by_anybody(file: Path) -> None:
    ctypes.CDLL(None)
    before = Path("/proc/self/mountinfo").read_text().count("\n")
    fd = open_unwritable(file)
    after = Path("/proc/self/mountinfo").read_text().count("\n")
    os.close(fd)
    assert before == after
