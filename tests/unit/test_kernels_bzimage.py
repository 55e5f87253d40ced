"""vmlinux out of a bzImage: every codec a kernel may use, and bytes made to hurt."""

from __future__ import annotations

import gzip
import lzma
import random
import struct
import zlib
from collections.abc import Callable

import lz4.block
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.errors import Error
from banger.kernels.bzimage import extract_vmlinux

ELF_HEADER = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, 62)
VMLINUX = ELF_HEADER + random.Random(1).randbytes(30_000) + bytes(300_000)
SETUP_SECTORS = 3


def with_size(compressed: bytes, size_bytes: int | None = None) -> bytes:
    return compressed + struct.pack("<I", len(VMLINUX) if size_bytes is None else size_bytes)


def lz4_legacy(data: bytes, chunk_bytes: int = 8 << 20) -> bytes:
    chunks = [data[i : i + chunk_bytes] for i in range(0, len(data), chunk_bytes)]
    packed = [lz4.block.compress(chunk, store_size=False) for chunk in chunks]
    return b"\x02\x21\x4c\x18" + b"".join(struct.pack("<I", len(p)) + p for p in packed)


CODECS: dict[str, Callable[[bytes], bytes]] = {
    "lz4": lambda data: with_size(lz4_legacy(data), len(data)),
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "xz": lambda data: with_size(lzma.compress(data, check=lzma.CHECK_CRC32), len(data)),
    "zstd": lambda data: with_size(zstandard.compress(data), len(data)),
}


def bzimage(payload: bytes, setup_sectors: int = SETUP_SECTORS, offset: int = 0x40) -> bytes:
    image = bytearray(((setup_sectors or 4) + 1) * 512 + offset)
    image[0x1F1] = setup_sectors
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, 0x020F)
    struct.pack_into("<II", image, 0x248, offset, len(payload))
    return bytes(image) + payload + b"tail"


def refusal(image: bytes, limit_bytes: int = 1 << 24) -> str:
    with pytest.raises(Error) as caught:
        extract_vmlinux(image, limit_bytes)
    assert caught.value.code == "kernel_invalid"
    return caught.value.message


@pytest.mark.parametrize("codec", CODECS)
def test_each_codec_gives_back_the_same_bytes(codec: str) -> None:
    assert extract_vmlinux(bzimage(CODECS[codec](VMLINUX))) == VMLINUX


def test_no_setup_sectors_means_four() -> None:
    assert extract_vmlinux(bzimage(CODECS["xz"](VMLINUX), setup_sectors=0)) == VMLINUX


def test_lz4_of_many_chunks() -> None:
    assert extract_vmlinux(bzimage(with_size(lz4_legacy(VMLINUX, 4096)))) == VMLINUX


@pytest.mark.parametrize("codec", CODECS)
def test_a_payload_cut_short_is_refused(codec: str) -> None:
    payload = CODECS[codec](VMLINUX)
    for kept in (8, 40, len(payload) // 2, len(payload) - 1):
        assert refusal(bzimage(payload[:kept]))
    assert "outside" in refusal(bzimage(payload)[: -len(payload) // 2])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("delta", [-1, 1, 100_000])
def test_a_size_that_lies_is_refused(codec: str, delta: int) -> None:
    payload = CODECS[codec](VMLINUX)[:-4] + struct.pack("<I", len(VMLINUX) + delta)
    assert refusal(bzimage(payload))


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_is_refused_before_it_is_unpacked(codec: str) -> None:
    bomb = CODECS[codec](ELF_HEADER + bytes(1 << 22))
    assert "limit" in refusal(bzimage(bomb), 1 << 20)
    hidden = bomb[:-4] + struct.pack("<I", 1 << 16)
    assert refusal(bzimage(hidden), 1 << 20)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "content",
    [b"", b"#!/bin/sh\n" * 100, b"\x7fELF\x01\x01" + bytes(100), ELF_HEADER[:18] + b"\xb7\x00" + bytes(100)],
    ids=["empty", "script", "32-bit", "arm64"],
)
def test_what_is_not_an_x86_64_elf_file_is_refused(codec: str, content: bytes) -> None:
    assert refusal(bzimage(CODECS[codec](content)))


@pytest.mark.parametrize(
    ("at", "data", "reason"),
    [
        (0x1FE, b"\0\0", "no x86 boot header"),
        (0x202, b"HdrX", "no x86 boot header"),
        (0x206, b"\x07\x02", "older"),
        (0x248, b"\xff\xff\xff\xff", "outside"),
        (0x24C, b"\xff\xff\xff\xff", "outside"),
        (0x24C, b"\x00\x00\x00\x00", "outside"),
        (0x1F1, b"\xff", "outside"),
        ((SETUP_SECTORS + 1) * 512 + 0x40, b"BZh9", "unknown compression"),
    ],
)
def test_a_bad_header_is_refused(at: int, data: bytes, reason: str) -> None:
    image = bytearray(bzimage(CODECS["gzip"](VMLINUX)))
    image[at : at + len(data)] = data
    assert reason in refusal(bytes(image))


def test_a_chunk_longer_than_the_payload_is_refused() -> None:
    lying = b"\x02\x21\x4c\x18" + struct.pack("<I", 0xFFFFFFFF) + bytes(100)
    assert "outside" in refusal(bzimage(with_size(lying)))


def test_short_files_are_refused() -> None:
    whole = bzimage(CODECS["gzip"](VMLINUX))
    for length in (0, 1, 0x1FE, 0x24F, 0x250, 600):
        assert refusal(whole[:length])


@settings(max_examples=300, deadline=None)
@given(codec=st.sampled_from(sorted(CODECS)), at=st.integers(0, 3000), data=st.binary(min_size=1, max_size=8))
def test_damage_anywhere_gives_the_kernel_or_our_error(codec: str, at: int, data: bytes) -> None:
    image = bytearray(bzimage(CODECS[codec](ELF_HEADER + random.Random(2).randbytes(600) + bytes(3000))))
    image[at : at + len(data)] = data
    try:
        assert extract_vmlinux(bytes(image), 1 << 20)[:4] == b"\x7fELF"
    except Error as error:
        assert error.code == "kernel_invalid"


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=600),
    st.sampled_from([b"\x02\x21\x4c\x18", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"]),
)
def test_any_payload_gives_our_error(junk: bytes, magic: bytes) -> None:
    assert refusal(bzimage(magic + junk + struct.pack("<I", zlib.crc32(junk) % 5000)), 1 << 20)
