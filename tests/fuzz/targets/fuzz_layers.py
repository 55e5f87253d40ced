"""A stranger's layers: archives whose checksums are right, one under the other, become a tree or a named failure."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from banger.errors import Error
from banger.images.disks.merge import LayerInput, Limits, merge_layers
from banger.images.disks.tree import Node
from banger.model.sizes import MIB
from banger.tar.header import BLOCK
from banger.tar.kind import Kind
from tests.support.layers import extended, header, mended, padded

_LIMITS = Limits(inflated_bytes=MIB, entries=200, metadata_bytes=MIB)
_CODES = ("layer_corrupt", "layer_refused", "layer_too_large")
# A block that begins so ends a layer.
_NEXT = b"next layer"

_LINK = header(b"l", flag=b"2", target=b"d")
_BREAK = padded(_NEXT)
SEEDS = [
    b"\1" + _LINK + header(b"l/a", 1) + padded(b"1") + header(b"m", flag=b"1", target=b"l/a"),
    b"\1" + header(b"d/", flag=b"5") + _LINK + _BREAK + header(b"l/.wh.a") + header(b"l/b"),
    b"\1" + header(b"d/a", 1) + padded(b"1") + _BREAK + header(b".wh.d") + header(b"d/b"),
    b"\0" + header(b"././@LongLink", 3, b"L", magic=b"ustar  \0") + padded(b"ab\0") + header(b".wh.x"),
    b"\0" + extended((b"GNU.sparse.size", b"9"), (b"GNU.sparse.numblocks", b"0")) + header(b"s"),
    b"\0" + extended((b"SCHILY.xattr.user.a", b"1"), (b"mtime", b"-1.5")) + header(b"x", flag=b"\0"),
    b"\0" + header(b"s", 0, b"S", tail=b"".ljust(41, b"\0") + b"00000000003\0" * 2, magic=b"ustar  \0"),
]
_directory = Path(tempfile.mkdtemp(prefix="banger-fuzz-"))


class _Counting:
    """Takes contents and keeps their lengths: holes may be of any size."""

    def __init__(self) -> None:
        self.length = 0

    def restart(self) -> None:
        self.length = 0

    def add_file(self, data: bytes | memoryview) -> bytes:
        return b"%d" % len(data)

    def begin_file(self) -> None:
        self.length = 0

    def append(self, data: bytes | memoryview) -> None:
        self.length += len(data)

    def skip_hole(self, length: int) -> None:
        assert length >= 0
        self.length += length

    def end_file(self) -> tuple[int, bytes]:
        return self.length, b"%d" % self.length


def run(data: bytes) -> None:
    """The first byte says whether there are whiteouts."""
    layers = [_layer(number, tar) for number, tar in enumerate(_split(data[1:]))]
    try:
        root = merge_layers(layers, _Counting(), _LIMITS, whiteouts=bool(data and data[0] & 1))
    except Error as exc:
        assert exc.code in _CODES
    else:
        _check(root)


def _split(data: bytes) -> list[bytes]:
    layers = [bytearray()]
    for at in range(0, len(data), BLOCK):
        block = data[at : at + BLOCK]
        if block.startswith(_NEXT):
            layers.append(bytearray())
        else:
            layers[-1] += mended(block)
    return [bytes(layer) for layer in layers[:4]]


def _layer(number: int, tar: bytes) -> LayerInput:
    path = _directory / str(number)
    path.write_bytes(tar)
    name = f"sha256:{hashlib.sha256(tar).hexdigest()}"
    return LayerInput(name, name, path)


def _check(root: Node) -> None:
    """That a disk can hold it: names are plain, and the contents as long as they are said to be."""
    waiting = [root]
    while waiting:
        for name, child in waiting.pop().children.items():
            assert (
                0 < len(name) <= 255 and b"/" not in name and b"\0" not in name and name not in (b".", b"..")
            )
            assert type(child) is Node or child.kind is Kind.DIRECTORY
            if child.kind is Kind.DIRECTORY:
                waiting.append(child)
            elif child.kind is Kind.FILE:
                assert int(child.extents or b"0") == child.size
