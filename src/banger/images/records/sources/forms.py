"""The form of a file, from its first bytes. Decided only here, so that all readers treat one input alike.

Sources: RFC 1952 (gzip), RFC 8878 (zstd and skippable frames, with which pzstd's files begin), the .xz file format,
POSIX ustar.
"""

from __future__ import annotations

import enum

from banger.errors import Error
from banger.images.fetch.byte_range import ByteRange
from banger.images.reference.documents import LAYER_GZIP, LAYER_TAR, LAYER_ZSTD

BLOCK = 512
_LOOKED_AT = 4096
_SKIPPABLE = b"\x2a\x4d\x18"


class Form(enum.Enum):
    """The values are for messages."""

    EMPTY = "an empty file"
    TAR = "a tar file"
    GZIP = "a gzip file"
    ZSTD = "a zstd file"
    XZ = "an xz file"
    BZIP2 = "a bzip2 file"
    LZMA = "an lzma file"
    LZIP = "an lzip file"
    LZ4 = "an lz4 file"
    COMPRESS = "a file of compress (.Z)"
    ZIP = "a zip file"
    SEVEN_ZIP = "a 7z file"
    RAR = "a rar file"
    CPIO = "a cpio archive"
    AR = "an ar archive or Debian package"
    ELF = "a program (ELF)"
    QCOW2 = "a qcow2 disk"
    SQUASHFS = "a squashfs file system"
    EXT4 = "a disk with an ext4 file system"
    TEXT = "plain text"
    UNKNOWN = "data of no known kind"


INFLATED = frozenset({Form.GZIP, Form.ZSTD, Form.XZ, Form.BZIP2})
_STARTS = (
    (b"\x1f\x8b", Form.GZIP),
    (b"\x28\xb5\x2f\xfd", Form.ZSTD),
    (b"\xfd7zXZ\0", Form.XZ),
    (b"BZh", Form.BZIP2),
    (b"LZIP", Form.LZIP),
    (b"\x04\x22\x4d\x18", Form.LZ4),
    (b"\x1f\x9d", Form.COMPRESS),
    (b"PK\x03\x04", Form.ZIP),
    (b"PK\x05\x06", Form.ZIP),
    (b"7z\xbc\xaf\x27\x1c", Form.SEVEN_ZIP),
    (b"Rar!\x1a\x07", Form.RAR),
    (b"07070", Form.CPIO),
    (b"!<arch>\n", Form.AR),
    (b"\x7fELF", Form.ELF),
    (b"QFI\xfb", Form.QCOW2),
    (b"hsqs", Form.SQUASHFS),
)
_LAYERS = {Form.GZIP: LAYER_GZIP, Form.ZSTD: LAYER_ZSTD, Form.TAR: LAYER_TAR}
_HINTS = {
    Form.ZIP: "unpack it, and use rootfs:DIR",
    Form.SEVEN_ZIP: "unpack it, and use rootfs:DIR",
    Form.RAR: "unpack it, and use rootfs:DIR",
    Form.CPIO: "unpack it, and use rootfs:DIR",
    Form.SQUASHFS: "unpack it with unsquashfs, and use rootfs:DIR",
    Form.EXT4: "banger image register --rootfs FILE --name NAME",
    Form.QCOW2: "qemu-img convert -O raw makes a disk of it for banger image register",
    Form.TEXT: "look into the file: a failed download may have left a message or a web page",
}


def form_of(blob: ByteRange) -> Form:
    """The form of a file, which is at its beginning afterwards. Blocking."""
    blob.seek(0)
    start = blob.read(_LOOKED_AT) or b""
    blob.seek(0)
    return form_of_bytes(start)


def form_of_bytes(start: bytes) -> Form:
    """The form of a file with these first 4 KiB, or with all its bytes."""
    if not start:
        return Form.EMPTY
    for magic, form in _STARTS:
        if start.startswith(magic) and not is_tar_header(start[:BLOCK]):
            return form
    if start[1:4] == _SKIPPABLE and start[0] >> 4 == 5:
        return Form.ZSTD
    if is_tar_header(start[:BLOCK]) or (len(start) >= BLOCK and not any(start)):
        return Form.EXT4 if start[1080:1082] == b"\x53\xef" and not any(start[:BLOCK]) else Form.TAR
    if start[1080:1082] == b"\x53\xef":
        return Form.EXT4
    if start[:3] == b"\x5d\0\0" and start[5:13] in (b"\xff" * 8, start[5:9] + bytes(4)):
        return Form.LZMA
    return Form.TEXT if _is_text(start) else Form.UNKNOWN


def is_tar_header(block: bytes) -> bool:
    """Whether the checksum of a header is right. Old programs computed it from signed bytes."""
    if len(block) < BLOCK:
        return False
    try:
        claimed = int(block[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    rest = block[:148] + b" " * 8 + block[156:]
    total = sum(rest)
    return claimed in (total, total - 256 * sum(byte > 127 for byte in rest))


def layer_type(blob: ByteRange) -> str | None:
    """The media type of a layer; None if a layer may not have this form. An empty tar file may be shorter than a
    block."""
    form = form_of(blob)
    return LAYER_TAR if form in (Form.EMPTY, Form.UNKNOWN, Form.TEXT) else _LAYERS.get(form)


def not_a_tar(name: str, form: Form, inside: Form | None = None) -> Error:
    """The error for a file that is no tar file. `inside` is the form of its contents, if `form` is a compression."""
    found = form if inside is None else inside
    what = f"{name} is {form.value}" + ("" if inside is None else f" with {inside.value} in it")
    hint = _HINTS.get(found, "give a tar file, plain or compressed with gzip, zstd, xz or bzip2")
    return Error("image_invalid", f"{what}, not a tar file", hint, {"form": found.name.lower()})


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode()
    except UnicodeDecodeError as exc:
        if exc.start < len(start) - 4:
            return False
        text = start[: exc.start].decode()
    return all(c.isprintable() or c in "\t\r\n\f\ufeff" for c in text)
