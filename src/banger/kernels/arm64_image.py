"""The kernel inside Debian's vmlinuz for arm64, as QEMU starts it: a flat Image. Pure; hostile input raises
`kernel_invalid`.

Source: the kernel's Documentation/arch/arm64/booting.rst (the header of an Image) and zboot-header.S of its EFI stub (a
program that carries a compressed one).
"""

from __future__ import annotations

import struct
import zlib

import zstandard

from banger.errors import Error
from banger.kernels.bzimage import LIMIT_BYTES

_MAGIC_AT, _MAGIC = 56, b"ARM\x64"
_ZBOOT_AT, _ZBOOT = 4, b"zimg"
_STEP_BYTES = 1024 * 1024


def extract_image(vmlinuz: bytes, limit_bytes: int = LIMIT_BYTES) -> bytes:
    """The Image, of at most `limit_bytes`."""
    image = _inflate(vmlinuz, limit_bytes) if vmlinuz[_ZBOOT_AT : _ZBOOT_AT + 4] == _ZBOOT else vmlinuz
    if len(image) > limit_bytes:
        raise _refuse(f"it is larger than the limit of {limit_bytes} bytes")
    if image[_MAGIC_AT : _MAGIC_AT + 4] != _MAGIC:
        raise _refuse("it has no arm64 Image header")
    return image


def _inflate(vmlinuz: bytes, limit_bytes: int) -> bytes:
    if len(vmlinuz) < 64:
        raise _refuse("it is shorter than its header")
    offset, size = struct.unpack_from("<II", vmlinuz, 8)
    kind = vmlinuz[24:56].partition(b"\0")[0]
    payload = vmlinuz[offset : offset + size]
    if len(payload) != size:
        raise _refuse("its payload lies outside the file")
    try:
        if kind == b"gzip":
            return zlib.decompressobj(wbits=31).decompress(payload, limit_bytes + 1)
        if kind in (b"zstd", b"zstd22"):
            return _inflate_zstd(payload, limit_bytes)
    except (zlib.error, zstandard.ZstdError) as exc:
        raise _refuse(f"its payload does not unpack: {exc}") from exc
    raise _refuse(f"its payload has an unknown compression ({kind[:16]!r})")


def _inflate_zstd(payload: bytes, limit_bytes: int) -> bytes:
    out = bytearray()
    with zstandard.ZstdDecompressor(max_window_size=128 * 1024 * 1024).stream_reader(payload) as reader:
        while len(out) <= limit_bytes and (chunk := reader.read(_STEP_BYTES)):
            out += chunk
    return bytes(out)


def _refuse(reason: str) -> Error:
    return Error("kernel_invalid", f"not a usable kernel: {reason}", "name another kernel, or pull it again")
