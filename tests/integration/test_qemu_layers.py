"""Chains of qcow2 files, judged by QEMU's own tools: what a disk reads as, whoever removes what."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.errors import Error
from banger.host.run import find_tool
from banger.vmm.qemu import layers

pytestmark = pytest.mark.integration

SIZE = 64 << 20
STEP = 1 << 20


def qemu_io(disk: Path, *commands: str) -> None:
    words = [word for command in commands for word in ("-c", command)]
    done = subprocess.run([find_tool("qemu-io"), "-f", "qcow2", *words, disk], capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "verification failed" not in said and "error" not in said.lower(), said


def write(disk: Path, place: int, pattern: int) -> None:
    qemu_io(disk, f"write -P {pattern} {place * STEP} 64k")


def assert_reads(disk: Path, *patterns: int) -> None:
    """The pattern at each place, in order."""
    commands = [f"read -P {pattern} {place * STEP} 64k" for place, pattern in enumerate(patterns)]
    qemu_io(disk, *commands)


def check(disk: Path) -> None:
    subprocess.run([find_tool("qemu-img"), "check", "-q", disk], check=True)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    image = tmp_path / "images" / "image.ext4"
    image.parent.mkdir()
    with open(image, "wb") as file:
        file.truncate(SIZE)
        for place in range(4):
            file.seek(place * STEP)
            file.write(b"\x01" * 65536)
    return image


@pytest.fixture
def disk(tmp_path: Path, base: Path) -> Path:
    """Of a machine: it has written 2 at place 0."""
    directory = tmp_path / "machine"
    directory.mkdir()
    made = directory / "root.qcow2"
    layers.create(made, str(base), "raw", SIZE)
    write(made, 0, 2)
    return made


def freeze(disk: Path, directory: Path) -> Path:
    """As a VMM does that is told of the new disk."""
    directory.mkdir()
    below, frozen = layers.active(disk), directory / "root.qcow2"
    layers.push_down(disk)
    layers.link_chain(below, frozen)
    return frozen


def test_a_frozen_disk_keeps_what_it_had_and_the_disk_goes_on(tmp_path: Path, disk: Path) -> None:
    frozen = freeze(disk, tmp_path / "frozen")
    write(disk, 1, 3)
    assert_reads(disk, 2, 3, 1, 1)
    assert_reads(frozen, 2, 1, 1, 1)
    again = freeze(disk, tmp_path / "again")
    write(disk, 0, 4)
    assert_reads(disk, 4, 3, 1, 1)
    assert_reads(again, 2, 3, 1, 1)
    for each in (disk, frozen, again):
        check(each)
    assert len(layers.read_chain(disk)[1:]) == 2
    assert len(layers.read_chain(again)[1:]) == 1
    assert layers.read_chain(frozen)[1:] == []


def test_clones_are_apart_and_own_all_they_need(tmp_path: Path, disk: Path) -> None:
    frozen = freeze(disk, tmp_path / "frozen")
    write(disk, 2, 3)
    again = freeze(disk, tmp_path / "again")
    clones = []
    for number in (1, 2):
        clone = tmp_path / f"clone-{number}" / "root.qcow2"
        clone.parent.mkdir()
        layers.lay_over(again, clone, 0)
        clones.append(clone)
        write(clone, 3, 10 + number)
    for directory in (frozen.parent, again.parent, disk.parent):
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
    assert_reads(clones[0], 2, 1, 3, 11)
    assert_reads(clones[1], 2, 1, 3, 12)
    for clone in clones:
        check(clone)
        assert all(layer.parent == clone.parent and layer.exists() for layer in layers.read_chain(clone)[1:])
    moved = tmp_path / "moved"
    clones[0].parent.rename(moved)
    assert_reads(moved / "root.qcow2", 2, 1, 3, 11)


def test_a_clone_may_be_larger_and_never_is_smaller(tmp_path: Path, disk: Path) -> None:
    frozen = freeze(disk, tmp_path / "frozen")
    for asked, expected in ((SIZE * 2, SIZE * 2), (SIZE // 2, SIZE), (0, SIZE)):
        clone = tmp_path / f"clone-{asked}" / "root.qcow2"
        clone.parent.mkdir()
        layers.lay_over(frozen, clone, asked)
        assert layers.read_head(layers.active(clone)).size_bytes == expected
        assert_reads(clone, 2, 1, 1, 1)


def test_what_the_vmm_was_never_told_of_is_undone(disk: Path) -> None:
    before = disk.stat().st_ino
    below = layers.active(disk)
    layers.push_down(disk)
    layers.pull_up(disk, below)
    assert disk.stat().st_ino == before
    assert_reads(disk, 2, 1, 1, 1)
    assert {path.name for path in disk.parent.iterdir()} == {"root.qcow2", below.name}


def test_a_disk_that_is_replaced_leaves_no_layers_behind(tmp_path: Path, disk: Path) -> None:
    frozen = freeze(disk, tmp_path / "frozen")
    write(disk, 1, 3)
    freeze(disk, tmp_path / "later")
    write(disk, 1, 4)
    layers.replace(disk, frozen)
    assert_reads(disk, 2, 1, 1, 1)
    needed = {path.name for path in layers.read_chain(disk)}
    assert {path.name for path in disk.parent.iterdir()} == {"root.qcow2", *needed}
    write(disk, 0, 5)
    assert_reads(frozen, 2, 1, 1, 1)
    layers.replace(disk, frozen)
    assert_reads(disk, 2, 1, 1, 1)
    check(disk)


def test_a_disk_that_is_not_there_yet_can_be_put_there(tmp_path: Path, disk: Path) -> None:
    frozen = freeze(disk, tmp_path / "frozen")
    new = tmp_path / "new" / "root.qcow2"
    new.parent.mkdir()
    layers.replace(new, frozen)
    assert_reads(new, 2, 1, 1, 1)


def test_too_long_a_chain_is_refused_and_nothing_has_changed(tmp_path: Path, disk: Path) -> None:
    for _ in range(layers.MAX_LAYERS - 1):
        layers.push_down(disk)
    assert_reads(disk, 2, 1, 1, 1)
    before = sorted(path.name for path in disk.parent.iterdir())
    with pytest.raises(Error) as caught:
        layers.push_down(disk)
    assert caught.value.code == "unsupported"
    assert sorted(path.name for path in disk.parent.iterdir()) == before


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory of another file system."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("capability missing: a second file system at /dev/shm")
    directory = shm / f"banger-{os.getpid()}"
    directory.mkdir()
    yield directory
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()


def test_between_two_file_systems_it_is_a_copy(tmp_path: Path, disk: Path, elsewhere: Path) -> None:
    freeze(disk, tmp_path / "frozen")
    again = freeze(disk, tmp_path / "again")
    clone = elsewhere / "root.qcow2"
    layers.lay_over(again, clone, 0)
    assert_reads(clone, 2, 1, 1, 1)
    write(clone, 1, 9)
    assert_reads(again, 2, 1, 1, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"QFI\xfb",
        b"\0" * 4096,
        b"QFI\xfb\0\0\0\x07" + bytes(4096),
        b"QFI\xfb\0\0\0\x03" + (1 << 62).to_bytes(8, "big") + b"\xff" * 4 + bytes(4096),
    ],
    ids=["empty", "short", "zeros", "version", "name"],
)
def test_what_is_no_disk_is_damaged(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "root.qcow2"
    path.write_bytes(data)
    with pytest.raises(Error) as caught:
        layers.read_head(path)
    assert caught.value.code == "frozen_damaged"
    with pytest.raises(Error):
        layers.lay_over(path, tmp_path / "over.qcow2", 0)


def test_a_layer_that_is_missing_is_damage(tmp_path: Path, disk: Path) -> None:
    layer = layers.push_down(disk)
    layers.push_down(disk)
    layer.unlink()
    with pytest.raises(Error) as caught:
        layers.read_chain(disk)[1:]
    assert caught.value.code == "frozen_damaged"
