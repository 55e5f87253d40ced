"""Files are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from banger.errors import Error
from banger.host.fs import (
    PARTIAL,
    disk_usage_bytes,
    open_partial,
    publish,
    remove_tree,
    require_free,
    sweep_partials,
    write_file,
)


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    final = tmp_path / "new" / "disk"
    with open_partial(final) as partial:
        partial.write_bytes(b"half")
        assert not final.exists()
    assert final.read_bytes() == b"half"
    assert names_in(final.parent) == {"disk"}


def test_a_writer_that_fails_leaves_the_old_file_and_no_traces(tmp_path: Path) -> None:
    final = tmp_path / "disk"
    final.write_bytes(b"old")
    with pytest.raises(RuntimeError), open_partial(final) as partial:
        partial.write_bytes(b"new")
        raise RuntimeError
    assert final.read_bytes() == b"old"
    assert names_in(tmp_path) == {"disk"}


def test_a_directory_that_was_there_first_wins(tmp_path: Path) -> None:
    final = tmp_path / "kernel"
    final.mkdir()
    (final / "vmlinux").write_text("first")
    with open_partial(final) as partial:
        partial.mkdir()
        (partial / "vmlinux").write_text("second")
    assert (final / "vmlinux").read_text() == "first"
    assert names_in(tmp_path) == {"kernel"}


def test_a_name_that_cannot_be_given_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    with pytest.raises(OSError):
        publish(tmp_path / "file", tmp_path / "directory")


def test_written_files_are_private_unless_said_otherwise(tmp_path: Path) -> None:
    write_file(tmp_path / "secret", b"s")
    write_file(tmp_path / "script", b"s", 0o755)
    assert [os.stat(tmp_path / n).st_mode & 0o777 for n in ("secret", "script")] == [0o600, 0o755]


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / f"{PARTIAL}a-1-ff").touch()
    (tmp_path / f"{PARTIAL}b-1-ff").mkdir()
    (tmp_path / "a").touch()
    assert sweep_partials(tmp_path) == 2
    assert names_in(tmp_path) == {"a"}
    assert sweep_partials(tmp_path / "not there") == 0


def test_removing_a_link_leaves_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "link")
    remove_tree(tmp_path / "link")
    assert names_in(tmp_path) == {"kept"}


def test_disk_usage_counts_what_a_sparse_file_holds(tmp_path: Path) -> None:
    with open(tmp_path / "disk", "wb") as file:
        file.truncate(1 << 30)
        file.write(b"x" * 8192)
    assert 8192 <= disk_usage_bytes(tmp_path / "disk") <= 65536
    assert disk_usage_bytes(tmp_path) == disk_usage_bytes(tmp_path / "disk")


def test_too_little_space_is_refused_with_numbers(tmp_path: Path) -> None:
    require_free(tmp_path / "not" / "there", 1, "a disk")
    with pytest.raises(Error, match="a disk needs 1024TiB") as caught:
        require_free(tmp_path / "not" / "there", 1 << 50, "a disk")
    assert caught.value.code == "insufficient_disk"
    assert caught.value.details["needed_bytes"] == 1 << 50
