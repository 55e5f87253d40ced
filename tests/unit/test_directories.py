"""A directory is ours alone when nobody else can change what any part of its path means."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from banger.directories import (
    check_trusted_directory,
    ensure_own_directory,
    ensure_private_directory,
    why_refused,
)
from banger.errors import Error

STRANGER = 12345
ENSURE = pytest.mark.parametrize("ensure", [ensure_private_directory, ensure_own_directory])
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives files to another user")


def refused(path: Path, ensure: Callable[[str], None] = ensure_own_directory) -> str:
    with pytest.raises(Error) as caught:
        ensure(str(path))
    assert caught.value.code == "daemon_unreachable" and caught.value.hint
    return caught.value.message


def test_a_private_directory_is_made_or_mended(tmp_path: Path) -> None:
    made = tmp_path / "run"
    ensure_private_directory(str(made))
    assert made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o755)
    ensure_private_directory(str(made))
    assert made.stat().st_mode & 0o777 == 0o700


@ENSURE
def test_parents_that_are_made_are_private_too(tmp_path: Path, ensure: Callable[[str], None]) -> None:
    ensure(str(tmp_path / "of-us" / "banger"))
    assert (tmp_path / "of-us").stat().st_mode & 0o777 == 0o700


def test_a_link_or_file_in_place_of_a_private_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        refused(tmp_path / name, ensure_private_directory)


def test_a_link_of_ours_leads_on(tmp_path: Path) -> None:
    (tmp_path / "a/real").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/../a/./real")
    ensure_own_directory(str(tmp_path / "link/state"))
    assert (tmp_path / "a/real/state").is_dir()


def test_links_that_go_round_have_an_end(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    assert "link" in refused(tmp_path / "one/state")


@as_root
@ENSURE
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, ensure: Callable[[str], None]) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", STRANGER, STRANGER)
    for path in (tmp_path / "theirs", tmp_path / "theirs/state"):
        assert "another user" in refused(path, ensure)
        assert "another user" in why_refused(str(path))


@as_root
@ENSURE
def test_a_link_of_somebody_else_is_refused_wherever_it_leads(
    tmp_path: Path, ensure: Callable[[str], None]
) -> None:
    """In a directory like /tmp, which all may write to."""
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky").chmod(0o1777)
    (tmp_path / "ours").mkdir(mode=0o700)
    link = tmp_path / "sticky/banger-of-us"
    link.symlink_to(tmp_path / "ours")
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    for path in (link, link / "banger"):
        assert str(link) in refused(path, ensure)
    assert not list((tmp_path / "ours").iterdir())


@as_root
def test_a_link_of_ours_to_a_strangers_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "second").symlink_to(tmp_path / "ours")
    os.chown(tmp_path / "second", STRANGER, STRANGER, follow_symlinks=False)
    (tmp_path / "first").symlink_to("second")
    assert "second" in refused(tmp_path / "first/state")


@pytest.mark.parametrize("mode", [0o777, 0o702])
def test_what_everybody_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(mode)
    assert "for all users" in refused(tmp_path / "open/state")
    assert "for all users" in refused(tmp_path / "open")
    assert "for all users" in why_refused(str(tmp_path / "open"))
    (tmp_path / "open").chmod(0o1777)
    ensure_own_directory(str(tmp_path / "open/state"))


@as_root
def test_what_a_group_of_others_can_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    os.chown(tmp_path / "team", -1, STRANGER)
    (tmp_path / "team").chmod(0o770)
    assert "group" in refused(tmp_path / "team/state")
    (tmp_path / "team").chmod(0o750)
    ensure_own_directory(str(tmp_path / "team/state"))


def test_what_is_only_read_is_looked_at_and_not_made(tmp_path: Path) -> None:
    check_trusted_directory(str(tmp_path / "config"))
    assert not (tmp_path / "config").exists()
    (tmp_path / "config").mkdir()
    (tmp_path / "config").chmod(0o777)
    assert "for all users" in refused(tmp_path / "config", check_trusted_directory)


def test_what_can_be_made_is_not_complained_of(tmp_path: Path) -> None:
    assert why_refused(str(tmp_path / "not/there/yet")) == ""
    assert not (tmp_path / "not").exists()
