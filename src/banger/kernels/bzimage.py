"""The ELF vmlinux inside an x86 bzImage. Pure: bytes in, bytes out; hostile input raises `kernel_invalid`.

Source: the kernel's Documentation/arch/x86/boot.rst ("The Real-Mode Kernel Header", protocol 2.08 or newer).
The payload is a compressed ELF file followed by its uncompressed length (u32; gzip has that by itself).
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable

import lz4.block
import zstandard

from banger.errors import Error

LIMIT_BYTES = 512 * 1024 * 1024
_SECTOR = 512
_HEADER_END = 0x250
_OLDEST_PROTOCOL = 0x0208
_ELF_X86_64 = 62
_LZ4_CHUNK_BYTES = 8 * 1024 * 1024
_STEP_BYTES = 1024 * 1024


def extract_vmlinux(bzimage: bytes, limit_bytes: int = LIMIT_BYTES) -> bytes:
    """Raises `kernel_invalid` for anything that is not a bzImage with an x86-64 ELF payload of at most
    `limit_bytes`."""
    payload = find_payload(bzimage)
    size_bytes = struct.unpack("<I", payload[-4:])[0]
    if size_bytes > limit_bytes:
        raise _refuse(f"it says it unpacks to {size_bytes} bytes, more than the limit of {limit_bytes}")
    decompress = _find_codec(payload)
    try:
        vmlinux = decompress(payload, size_bytes)
    except (
        zlib.error,
        lzma.LZMAError,
        zstandard.ZstdError,
        lz4.block.LZ4BlockError,
        struct.error,
        EOFError,
        ValueError,
    ) as exc:
        raise _refuse(f"its payload does not unpack: {exc}") from exc
    if len(vmlinux) != size_bytes:
        raise _refuse(f"its payload unpacks to {len(vmlinux)} bytes instead of {size_bytes}")
    check_vmlinux(vmlinux)
    return vmlinux


def find_payload(bzimage: bytes) -> bytes:
    """The compressed part, with its length at the end."""
    if len(bzimage) < _HEADER_END:
        raise _refuse("it is shorter than a boot header")
    if bzimage[0x1FE:0x200] != b"\x55\xaa" or bzimage[0x202:0x206] != b"HdrS":
        raise _refuse("it has no x86 boot header")
    if struct.unpack_from("<H", bzimage, 0x206)[0] < _OLDEST_PROTOCOL:
        raise _refuse("its boot protocol is older than 2.08")
    setup_sectors = bzimage[0x1F1] or 4
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    start = (setup_sectors + 1) * _SECTOR + offset
    if length < 8 or start + length > len(bzimage):
        raise _refuse("its payload lies outside the file")
    return bzimage[start : start + length]


def check_vmlinux(vmlinux: bytes) -> None:
    """Raises `kernel_invalid` unless it begins like an executable ELF file for x86-64."""
    if len(vmlinux) < 64 or vmlinux[:4] != b"\x7fELF":
        raise _refuse("its payload is not an ELF file")
    if vmlinux[4:6] != b"\x02\x01" or struct.unpack_from("<H", vmlinux, 18)[0] != _ELF_X86_64:
        raise _refuse("its payload is not for x86-64")


def _find_codec(payload: bytes) -> Callable[[bytes, int], bytes]:
    for magic, codec in _CODECS:
        if payload.startswith(magic):
            return codec
    raise _refuse(f"its payload has an unknown compression (it begins with {payload[:6].hex(' ')})")


def _lz4(payload: bytes, size_bytes: int) -> bytes:
    """LZ4's legacy frame: a magic, then chunks of at most 8 MiB, each after its compressed length (u32)."""
    out = bytearray()
    position, end = 4, len(payload) - 4
    while position < end and len(out) < size_bytes:
        (length,) = struct.unpack_from("<I", payload, position)
        position += 4
        if length == 0 or position + length > end:
            raise EOFError("an LZ4 chunk lies outside the payload")
        room = min(_LZ4_CHUNK_BYTES, size_bytes - len(out))
        out += lz4.block.decompress(payload[position : position + length], uncompressed_size=room)
        position += length
    return bytes(out)


def _gzip(payload: bytes, size_bytes: int) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(payload, size_bytes + 1)


def _xz(payload: bytes, size_bytes: int) -> bytes:
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=LIMIT_BYTES)
    return decoder.decompress(payload[:-4], size_bytes + 1)


def _zstd(payload: bytes, size_bytes: int) -> bytes:
    """Inflate in steps: the size that a frame claims must not decide how much memory is taken."""
    decoder = zstandard.ZstdDecompressor(max_window_size=128 * 1024 * 1024)
    out = bytearray()
    with decoder.stream_reader(payload[:-4]) as reader:
        while len(out) <= size_bytes and (chunk := reader.read(_STEP_BYTES)):
            out += chunk
    return bytes(out)


_CODECS: tuple[tuple[bytes, Callable[[bytes, int], bytes]], ...] = (
    (b"\x02\x21\x4c\x18", _lz4),
    (b"\x1f\x8b\x08", _gzip),
    (b"\xfd7zXZ\x00", _xz),
    (b"\x28\xb5\x2f\xfd", _zstd),
)


def _refuse(reason: str) -> Error:
    return Error("kernel_invalid", f"not a usable kernel: {reason}", "name another kernel, or pull it again")
