"""Kernels for arm64 are taken as they are, or out of the EFI program that carries them."""

from __future__ import annotations

import gzip
import struct

import pytest
import zstandard

from banger.errors import Error
from banger.kernels.arm64_image import extract_image

IMAGE = bytes(56) + b"ARM\x64" + bytes(4) + b"kernel" * 1000


def zboot(kind: bytes, payload: bytes, size: int | None = None) -> bytes:
    header = b"MZ\0\0zimg" + struct.pack("<II", 64, len(payload) if size is None else size) + bytes(8)
    return header + kind.ljust(32, b"\0") + bytes(8) + payload


@pytest.mark.parametrize(
    "vmlinuz",
    [
        IMAGE,
        zboot(b"gzip", gzip.compress(IMAGE, mtime=0)),
        zboot(b"zstd", zstandard.compress(IMAGE)),
        zboot(b"zstd22", zstandard.compress(IMAGE)),
    ],
    ids=["plain", "gzip", "zstd", "zstd22"],
)
def test_the_image_is_found(vmlinuz: bytes) -> None:
    assert extract_image(vmlinuz) == IMAGE


@pytest.mark.parametrize(
    "vmlinuz",
    [
        b"",
        b"MZ\0\0zimg",
        bytes(4096),
        zboot(b"gzip", b"noise"),
        zboot(b"gzip", gzip.compress(b"no kernel", mtime=0)),
        zboot(b"gzip", gzip.compress(bytes(2_000_000), mtime=0)),
        zboot(b"zstd", zstandard.compress(bytes(2_000_000))),
        zboot(b"lzo", b"x"),
        zboot(b"gzip", gzip.compress(IMAGE, mtime=0), 1 << 30),
    ],
    ids=["empty", "cut", "zeros", "noise", "no-kernel", "gzip-bomb", "zstd-bomb", "lzo", "beyond-its-end"],
)
def test_anything_else_is_refused(vmlinuz: bytes) -> None:
    with pytest.raises(Error) as caught:
        extract_image(vmlinuz, 1_000_000)
    assert caught.value.code == "kernel_invalid"
