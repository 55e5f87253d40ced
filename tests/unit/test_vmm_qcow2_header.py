"""A stranger's disk names no file of this host, or it is refused."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger.errors import Error
from banger.model.sizes import GIB, TIB
from banger.vmm.qemu.qcow2_header import check_standalone_qcow2

needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


def qcow2(
    *,
    magic: bytes = b"QFI\xfb",
    version: int = 3,
    backing_offset: int = 0,
    cluster_bits: int = 16,
    size_bytes: int = GIB,
    encryption: int = 0,
    incompatible: int = 0,
    header_bytes: int = 112,
    extensions: bytes = b"",
) -> bytes:
    start = struct.pack(">4sIQIIQI", magic, version, backing_offset, 0, cluster_bits, size_bytes, encryption)
    header = start.ljust(72, b"\0") + struct.pack(">QQQII", incompatible, 0, 0, 4, header_bytes)
    return (header.ljust(112, b"\0") + extensions).ljust(65536, b"\0")


def extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)


def check(path: Path, data: bytes, limit_bytes: int = TIB) -> None:
    path.write_bytes(data)
    check_standalone_qcow2(path, limit_bytes)


@pytest.mark.parametrize(
    "data",
    [
        qcow2(),
        qcow2(version=2),
        qcow2(version=2, header_bytes=0)[:72],
        qcow2(incompatible=1),
        qcow2(size_bytes=TIB),
        qcow2(cluster_bits=9),
        qcow2(cluster_bits=21),
        qcow2(extensions=extension(0x6803F857, b"names" * 20) + extension(0xE2792ACA, b"raw")),
        qcow2()[:112],
    ],
)
def test_a_disk_that_stands_alone_is_fine(tmp_path: Path, data: bytes) -> None:
    check(tmp_path / "root.qcow2", data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "not a qcow2 disk"),
        (qcow2(magic=b"\x53\xef\0\0"), "not a qcow2 disk"),
        (qcow2()[:71], "not a qcow2 disk"),
        (qcow2()[:103], "cut off"),
        (qcow2(version=1), "version 1"),
        (qcow2(version=4), "version 4"),
        (qcow2(backing_offset=120), "depends on a backing file"),
        (qcow2(version=2, backing_offset=1 << 63), "depends on a backing file"),
        (qcow2(incompatible=2), "features"),
        (qcow2(incompatible=4), "features"),
        (qcow2(incompatible=8), "features"),
        (qcow2(incompatible=16), "features"),
        (qcow2(incompatible=1 | 1 << 63), "features"),
        (qcow2(encryption=1), "encrypted"),
        (qcow2(encryption=2), "encrypted"),
        (qcow2(cluster_bits=8), "clusters"),
        (qcow2(cluster_bits=22), "clusters"),
        (qcow2(cluster_bits=1 << 31), "clusters"),
        (qcow2(size_bytes=TIB + 512), "at most 1TiB are allowed"),
        (qcow2(size_bytes=(1 << 64) - 1), "at most 1TiB are allowed"),
        (qcow2(header_bytes=72), "header of a length"),
        (qcow2(header_bytes=(1 << 32) - 1), "header of a length"),
        (qcow2(extensions=extension(0x44415441, b"/etc/shadow")), "external data file"),
        (qcow2(extensions=extension(1, b"x") + extension(0x44415441, b"/dev/sda")), "external data file"),
        (qcow2(extensions=extension(0x0537BE77, bytes(16))), "encrypted"),
        (qcow2(extensions=extension(1, b"") * 65), "too many extensions"),
    ],
)
def test_any_other_is_refused(tmp_path: Path, data: bytes, expected: str) -> None:
    with pytest.raises(Error) as caught:
        check(tmp_path / "root.qcow2", data)
    assert caught.value.code == "snapshot_invalid"
    assert "root.qcow2" in caught.value.message and expected in caught.value.message


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.integers(0, 130))
def test_no_header_does_worse_than_be_refused(tmp_path: Path, noise: bytes, offset: int) -> None:
    data = bytearray(qcow2())
    data[offset : offset + len(noise)] = noise
    try:
        check(tmp_path / "root.qcow2", bytes(data))
    except Error as exc:
        assert exc.code == "snapshot_invalid"
    else:
        assert data[8:16] == bytes(8)
        assert data[7] == 2 or data[72:80] in (bytes(8), bytes(7) + b"\1")


@needs_qemu_img
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ""),
        (["-o", "compat=0.10"], ""),
        (["-o", "lazy_refcounts=on,cluster_size=2M"], ""),
        (["-F", "raw", "-b", "/etc/hostname"], "a backing file"),
        (["-o", "data_file=data.raw"], "features"),
        (["-o", "compression_type=zstd"], "features"),
        (["-o", "extended_l2=on"], "features"),
    ],
)
def test_what_qemu_img_makes_is_judged_rightly(tmp_path: Path, options: list[str], expected: str) -> None:
    command = ["qemu-img", "create", "-q", "-f", "qcow2", *options, "root.qcow2", "64M"]
    subprocess.run(command, cwd=tmp_path, check=True)
    if not expected:
        check_standalone_qcow2(tmp_path / "root.qcow2", GIB)
        return
    with pytest.raises(Error) as caught:
        check_standalone_qcow2(tmp_path / "root.qcow2", GIB)
    assert expected in caught.value.message
