"""A tree's survey, and the size and arguments of its disk."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from banger.images.disk import BLOCK, Survey, plan_mke2fs, plan_size
from banger.images.survey import survey
from banger.model.sizes import GIB, MIB, TIB


def plant(root: Path) -> Path:
    (root / "bin").mkdir(parents=True)
    (root / "bin/sh").write_bytes(b"shell")
    os.link(root / "bin/sh", root / "bin/bash")
    (root / "etc").mkdir()
    (root / "etc/empty").touch()
    (root / "link").symlink_to("bin/sh")
    for path in (root, *root.rglob("*")):
        os.utime(path, (1, 1), follow_symlinks=False)
    return root


def digest(root: Path) -> object:
    return survey(os.fsencode(root))["digest"]


def test_blocks_and_inodes_are_counted(tmp_path: Path) -> None:
    found = survey(os.fsencode(plant(tmp_path / "a")))
    assert found["inodes"] == 1 + 5  # root; bin, etc, empty, link, and sh, which bash is too
    assert found["blocks"] == 1 + 2 + 1


def test_the_same_tree_elsewhere_has_the_same_digest(tmp_path: Path) -> None:
    assert digest(plant(tmp_path / "a")) == digest(plant(tmp_path / "b"))


def unlink_and_copy(root: Path) -> None:
    (root / "bin/bash").unlink()
    (root / "bin/bash").write_bytes(b"shell")
    os.utime(root / "bin/bash", (1, 1))
    os.utime(root / "bin", (1, 1))


CHANGES: dict[str, Callable[[Path], object]] = {
    "contents": lambda root: ((root / "bin/sh").write_bytes(b"SHELL"), os.utime(root / "bin/sh", (1, 1))),
    "mode": lambda root: (root / "bin/sh").chmod(0o4755),
    "time": lambda root: os.utime(root / "etc/empty", (2, 2)),
    "target": lambda root: ((root / "link").unlink(), (root / "link").symlink_to("bin/xx")),
    "name": lambda root: (root / "etc/empty").rename(root / "etc/e"),
    "hard link": unlink_and_copy,
    "kind": lambda root: ((root / "etc/empty").unlink(), os.mkfifo(root / "etc/empty")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_changes_the_digest(tmp_path: Path, change: str) -> None:
    root = plant(tmp_path / "a")
    before = digest(root)
    CHANGES[change](root)
    assert digest(root) != before


def test_names_that_are_not_utf8_are_fine(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path / "a")
    os.mkdir(root)
    with open(root + b"/\xff\n", "wb"):
        pass
    assert survey(root)["inodes"] == 2


def test_a_big_directory_counts_more_than_one_block(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{'n' * 60}{number}").touch()
    assert int(str(survey(os.fsencode(tmp_path))["blocks"])) == 1
    (tmp_path / "sub").mkdir()
    for number in range(200):
        (tmp_path / "sub" / f"{'n' * 60}{number}").touch()
    assert int(str(survey(os.fsencode(tmp_path))["blocks"])) > 4


@pytest.mark.parametrize("content_bytes", [0, 1, 5 * MIB, 225 * MIB, 3 * GIB])
def test_a_disk_has_a_quarter_and_64_mib_to_spare(content_bytes: int) -> None:
    size = plan_size(Survey("0" * 64, -(-content_bytes // BLOCK), 10))
    assert size % (4 * MIB) == 0
    assert content_bytes * 1.25 + 64 * MIB <= size < (content_bytes + BLOCK) * 1.25 + 68 * MIB


def test_metadata_fits_into_the_room_to_spare() -> None:
    draw = random.Random(3)
    for _ in range(200):
        inodes = draw.randrange(1, 2_000_000)
        survey = Survey("0" * 64, inodes + draw.randrange(0, 1_000_000), inodes)
        argv = plan_mke2fs(Path("/t"), Path("/o"), survey)
        inode_bytes = int(argv[argv.index("-N") + 1]) * 256
        assert survey.blocks * BLOCK + inode_bytes + 40 * MIB < plan_size(survey)


def test_mke2fs_is_told_everything() -> None:
    argv = plan_mke2fs(Path("/t"), Path("/o"), Survey("ab" * 32, 1000, 10))
    assert argv[argv.index("-U") + 1] == "abababab-abab-abab-abab-abababababab"
    assert f"resize={4 * TIB // BLOCK}" in argv[argv.index("-E") + 1]
    assert argv[argv.index("-O") + 1].startswith("none,") and "metadata_csum" in argv[argv.index("-O") + 1]
    assert argv[argv.index("-m") + 1] == "0"
