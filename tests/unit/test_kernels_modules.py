"""Modules of the initramfs: order, what is built in, packages that compress them."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest
import zstandard

from banger.errors import Error
from banger.kernels.disk import measure, plan_mke2fs
from banger.kernels.modules import (
    BOOT,
    VSOCK,
    ModuleIndex,
    module_name,
    plain_name,
    read_module,
    unpack_modules,
    write_boot_modules,
)

DEP = """\
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/virtio/virtio_mmio.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko \
kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/net/core/failover.ko:
kernel/drivers/char/hw_random/virtio-rng.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
"""
ELF = b"\x7fELF module"


def test_compressed_modules_of_a_tree_are_replaced_by_plain_ones(tmp_path: Path) -> None:
    packed = {
        "a.ko.xz": lzma.compress(ELF),
        "b.ko.zst": zstandard.compress(ELF),
        "c.ko.gz": gzip.compress(ELF),
    }
    (tmp_path / "kernel/net").mkdir(parents=True)
    for name, data in {**packed, "d.ko": ELF, "modules.order": b"a list"}.items():
        (tmp_path / "kernel/net" / name).write_bytes(data)
    unpack_modules(tmp_path)
    found = {path.name: path.read_bytes() for path in (tmp_path / "kernel/net").iterdir()}
    assert found == {"a.ko": ELF, "b.ko": ELF, "c.ko": ELF, "d.ko": ELF, "modules.order": b"a list"}


def test_each_module_comes_after_what_it_needs() -> None:
    order = ModuleIndex(DEP, "").plan_order(["virtio_net", "virtio_rng"])
    assert [Path(path).stem for path in order] == [
        *("virtio_ring", "virtio", "failover", "net_failover", "virtio_net", "virtio-rng")
    ]


def test_the_order_asked_for_is_kept_where_nothing_forbids_it() -> None:
    wanted = ["virtio_ring", "virtio", "virtio_mmio", "failover", "net_failover", "virtio_net"]
    order = ModuleIndex(DEP, "").plan_order(wanted)
    assert [Path(path).stem for path in order] == wanted


def test_built_in_modules_are_left_out() -> None:
    index = ModuleIndex("", "kernel/drivers/virtio/virtio.ko\nkernel/drivers/char/hw_random/virtio-rng.ko\n")
    assert index.plan_order(["virtio", "virtio_rng"]) == []
    assert index.has("virtio_rng")


def test_a_module_that_is_nowhere_is_an_error() -> None:
    with pytest.raises(Error) as caught:
        ModuleIndex(DEP, "").plan_order(["virtio_blk"])
    assert caught.value.code == "kernel_invalid"
    assert "virtio_blk" in caught.value.message


def test_names_are_as_the_kernel_has_them() -> None:
    assert module_name("kernel/drivers/char/hw_random/virtio-rng.ko.xz") == "virtio_rng"
    assert plain_name("kernel/drivers/char/hw_random/virtio-rng.ko.zst") == "virtio-rng.ko"


@pytest.mark.parametrize(
    ("suffix", "packed"),
    [
        (".ko", ELF),
        (".ko.gz", gzip.compress(ELF, mtime=0)),
        (".ko.xz", lzma.compress(ELF)),
        (".ko.zst", zstandard.compress(ELF)),
    ],
)
def test_modules_are_unpacked(tmp_path: Path, suffix: str, packed: bytes) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(packed)
    assert read_module(path) == ELF


@pytest.mark.parametrize("suffix", [".ko", ".ko.gz", ".ko.xz", ".ko.zst"])
def test_damaged_modules_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(b"neither one thing nor another")
    with pytest.raises(Error) as caught:
        read_module(path)
    assert caught.value.code == "kernel_invalid"


def release(tmp_path: Path, names: tuple[str, ...]) -> Path:
    tree = tmp_path / "6.1.0-test"
    (tree / "kernel").mkdir(parents=True)
    for name in names:
        (tree / f"kernel/{name}.ko").write_bytes(ELF)
    (tree / "modules.dep").write_text("".join(f"kernel/{name}.ko:\n" for name in names))
    (tree / "modules.builtin").write_text("")
    return tree


def test_the_lists_and_the_files_of_a_kernel_directory(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write_boot_modules(release(tmp_path, (*BOOT, *VSOCK)), out)
    assert (out / "order").read_text().split() == [f"{name}.ko" for name in BOOT]
    assert (out / "vsock").read_text().split() == [f"{name}.ko" for name in VSOCK]
    assert {path.stem for path in (out / "modules").iterdir()} == {*BOOT, *VSOCK}


def test_a_kernel_may_lack_vsock(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write_boot_modules(release(tmp_path, BOOT), out)
    assert (out / "vsock").read_text() == ""


def test_the_modules_disk_has_room_for_what_is_in_it(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "r/kernel").mkdir(parents=True)
    (tree / "r/kernel/a.ko").write_bytes(bytes(4097))
    blocks, inodes = measure(tree)
    assert (blocks, inodes) == (1 + 2 + 2, 1 + 2 + 1)
    argv = plan_mke2fs(tree, tmp_path / "out", "0" * 32, blocks, inodes)
    assert int(argv[-1]) > blocks
    assert "^has_journal" in " ".join(argv)
