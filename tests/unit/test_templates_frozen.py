"""What is frozen is checked before it is used: every kind of damage is found, and nothing else is taken for damage."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from banger.errors import Error
from banger.templates.frozen import Checks, Sums, check_files, read_meta, sum_files, write_meta
from banger.vmm.frozen import Frozen
from banger.vmm.qemu.frozen_files import QemuFrozenFiles

SIZE = 5 << 20


class Meta(msgspec.Struct):
    sums: Sums


def parts_of(directory: Path) -> list[str]:
    return QemuFrozenFiles().parts(Frozen(directory))


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    directory = tmp_path / "frozen"
    directory.mkdir()
    with open(directory / "memory", "wb") as file:
        file.truncate(SIZE)
        for offset in (0, 1 << 20, (3 << 20) + 4096):
            file.seek(offset)
            file.write(bytes(range(256)) * 16)
    (directory / "devices").write_bytes(b"devices" * 1000)
    (directory / "root.qcow2").write_bytes(b"QFI\xfb" + bytes(70000) + b"end")
    (directory / "layer-12345678.qcow2").write_bytes(b"below")
    (directory / "console.log").write_bytes(b"said")
    write_meta(directory, Meta(sum_files(directory, parts_of(directory))))
    return directory


def check(directory: Path) -> None:
    check_files(directory, read_meta(directory, Meta).sums)


def test_what_was_written_is_fine(frozen: Path) -> None:
    assert set(sum_files(frozen, parts_of(frozen))) == {
        "memory",
        "devices",
        "root.qcow2",
        "layer-12345678.qcow2",
    }
    check(frozen)


def flip(name: str, offset: int) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        with open(directory / name, "r+b") as file:
            file.seek(offset)
            byte = file.read(1)
            file.seek(offset)
            file.write(bytes([byte[0] ^ 1]))

    return damage


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda directory: os.truncate(directory / name, size)


def remove(name: str) -> Callable[[Path], None]:
    return lambda directory: (directory / name).unlink()


def swap_blocks(directory: Path) -> None:
    """The same bytes, elsewhere."""
    with open(directory / "memory", "r+b") as file:
        block = file.read(4096)
        file.seek(0)
        file.write(bytes(4096))
        file.seek(2 << 20)
        file.write(block)


@pytest.mark.parametrize(
    "damage",
    [
        flip("memory", 17),
        flip("memory", (1 << 20) + 4095),
        flip("memory", 4 << 20),  # was a hole
        flip("memory", SIZE - 1),
        flip("devices", 6999),
        flip("root.qcow2", 0),
        flip("root.qcow2", 35000),
        flip("layer-12345678.qcow2", 2),
        cut("memory", SIZE - 4096),
        cut("memory", SIZE + 4096),
        cut("memory", 0),
        cut("devices", 6999),
        cut("root.qcow2", 70000),
        remove("memory"),
        remove("devices"),
        remove("root.qcow2"),
        remove("layer-12345678.qcow2"),
        remove("meta.json"),
        cut("meta.json", 30),
        cut("meta.json", 0),
        lambda directory: (directory / "meta.json").write_bytes(b'{"sums": 7}'),
        lambda directory: (directory / "meta.json").write_bytes(b"\xff" * 100),
        swap_blocks,
    ],
)
def test_damage_is_found(frozen: Path, damage: Callable[[Path], None]) -> None:
    damage(frozen)
    with pytest.raises(Error) as caught:
        check(frozen)
    assert caught.value.code == "frozen_damaged"


def test_a_hole_and_zeros_are_the_same(frozen: Path) -> None:
    with open(frozen / "memory", "r+b") as file:
        file.seek(2 << 20)
        file.write(bytes(1 << 19))
    check(frozen)


def test_logs_are_nobodys_business(frozen: Path) -> None:
    (frozen / "console.log").write_bytes(b"said something else")
    check(frozen)


def test_sums_are_of_a_kind_that_nobody_can_aim_at(frozen: Path) -> None:
    assert all(
        len(found.sha256) == 64 and found.crc32 is None
        for found in sum_files(frozen, parts_of(frozen)).values()
    )


def test_a_snapshot_of_an_earlier_version_is_checked_by_its_own_sums(frozen: Path) -> None:
    (frozen / "devices").write_bytes(b"devices" * 1000)
    old = {"devices": {"size_bytes": 7000, "crc32": 0x8D63D37D}}
    sums = msgspec.convert(old, Sums)
    check_files(frozen, sums)
    flip("devices", 100)(frozen)
    with pytest.raises(Error):
        check_files(frozen, sums)


def forge(directory: Path) -> None:
    """A change of the contents that leaves size and times as they were, as far as a user can set them."""
    before = os.stat(directory / "memory")
    flip("memory", 17)(directory)
    os.utime(directory / "memory", ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_whole(directory: Path) -> None:
    data = bytearray((directory / "memory").read_bytes())
    data[17] ^= 1
    (directory / "new").write_bytes(data)
    (directory / "new").rename(directory / "memory")


@pytest.mark.parametrize("damage", [forge, replace_whole, flip("devices", 3), remove("root.qcow2")])
def test_damage_after_the_first_look_is_found_at_the_next(
    frozen: Path, damage: Callable[[Path], None]
) -> None:
    checks = Checks(frozen, sum_files(frozen, parts_of(frozen)))
    assert not checks.is_right()
    checks.check()
    assert checks.is_right()
    damage(frozen)
    assert not checks.is_right()
    with pytest.raises(Error) as caught:
        checks.check()
    assert caught.value.code == "frozen_damaged"
    assert not checks.is_right()


def test_a_link_to_a_file_is_no_damage(frozen: Path) -> None:
    checks = Checks(frozen, sum_files(frozen, parts_of(frozen)))
    checks.check()
    os.link(frozen / "root.qcow2", frozen.parent / "of-a-clone.qcow2")
    checks.check()
    assert checks.is_right()


def test_what_is_unchanged_is_not_read_again(frozen: Path) -> None:
    """A sum that is wrong is not noticed where nothing has changed."""
    sums = sum_files(frozen, parts_of(frozen))
    checks = Checks(frozen, sums)
    checks.check()
    sums["memory"].sha256 = "0" * 64
    checks.check()


def test_a_fork_notices_a_change_of_memory_and_pays_nothing_for_links_to_layers(frozen: Path) -> None:
    checks = Checks.of_new(frozen, QemuFrozenFiles().state_parts())
    os.link(frozen / "layer-12345678.qcow2", frozen.parent / "of-a-child.qcow2")
    assert checks.is_right()
    forge(frozen)
    assert not checks.is_right()
    with pytest.raises(Error):
        checks.check()
