"""What a guest has synced is found again after a power failure: the order of what layers do to a directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from banger.vmm.qemu import layers


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    directory = tmp_path / "machine"
    directory.mkdir()
    layers.create(directory / "root.qcow2", "/nowhere/image.ext4", "raw", 1 << 20)
    return directory / "root.qcow2"


def synced_states(monkeypatch: pytest.MonkeyPatch, disk: Path, act: Callable[[], object]) -> list[str]:
    """Where the disk pointed whenever its directory was synced."""
    states: list[str] = []
    fsync = os.fsync

    def spy(fd: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{fd}")) == disk.parent:
            states.append(layers.active(disk).name)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", spy)
    act()
    return states


def test_a_disk_that_is_pushed_down_points_at_its_new_file_for_good_before_the_vmm_hears_of_it(
    monkeypatch: pytest.MonkeyPatch, disk: Path
) -> None:
    states = synced_states(monkeypatch, disk, lambda: layers.push_down(disk))
    assert states[-1:] == [layers.active(disk).name]


def test_what_is_undone_is_undone_for_good_before_the_new_file_goes(
    monkeypatch: pytest.MonkeyPatch, disk: Path
) -> None:
    below = layers.active(disk)
    layers.push_down(disk)
    assert synced_states(monkeypatch, disk, lambda: layers.pull_up(disk, below)) == [below.name]


def test_a_disk_that_is_replaced_is_so_for_good_before_the_old_one_goes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, disk: Path
) -> None:
    (tmp_path / "frozen").mkdir()
    layers.create(tmp_path / "frozen/root.qcow2", "/nowhere/image.ext4", "raw", 1 << 20)
    old = layers.active(disk)
    kept: list[bool] = []
    fsync = os.fsync

    def spy(fd: int) -> None:
        kept.append(old.exists())
        fsync(fd)

    monkeypatch.setattr(os, "fsync", spy)
    layers.replace(disk, tmp_path / "frozen/root.qcow2")
    assert kept == [True] and not old.exists()


def test_a_new_disk_costs_no_sync(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, disk: Path) -> None:
    (tmp_path / "clone").mkdir()
    assert (
        synced_states(monkeypatch, disk, lambda: layers.lay_over(disk, tmp_path / "clone/root.qcow2", 0))
        == []
    )
