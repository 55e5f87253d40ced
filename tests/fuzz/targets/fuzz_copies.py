"""A hostile machine's copy: archives whose checksums are right, two after the other, stay inside their destination."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from banger.client.trees import Complaints, unpack_tree
from banger.errors import Error
from banger.tar.header import BLOCK
from tests.support.layers import END, extended, header, mended, padded

_CODES = ("agent_error", "bad_request")
# A block that begins so ends a stream.
_NEXT = b"next stream"
_PLACE_BYTES = 1 << 50

_TREE = header(b"t/", flag=b"5", mode=0o755)
_FILE = header(b"t/f", 3) + padded(b"abc")
SEEDS = [
    b"\1" + _TREE + _FILE + header(b"t/g", flag=b"1", target=b"t/f") + END,
    b"\1"
    + _TREE
    + header(b"t/l", flag=b"2", target=b"../..")
    + padded(_NEXT)
    + _TREE
    + header(b"t/l/x")
    + END,
    b"\0" + _TREE + header(b"t/l", flag=b"2", target=b"/tmp") + header(b"t/l/../x") + END,
    b"\1" + _TREE + extended((b"path", b"t/" + b"n" * 300), (b"mtime", b"-1.5")) + header(b"x") + END,
    b"\1" + _TREE + extended((b"GNU.sparse.size", b"99"), (b"GNU.sparse.map", b"9,3")) + _FILE + END,
    b"\1" + header(b"d", flag=b"5") + header(b"d/c", flag=b"3") + header(b"d/p", flag=b"6") + END,
]
_directory = Path(tempfile.mkdtemp(prefix="banger-fuzz-"))
_outside = _directory / "outside"
_place = _directory / "place"
_outside.mkdir()
(_outside / "secret").write_text("mine")


def run(data: bytes) -> None:
    """The first byte says whether the tree gets a name or is the place itself."""
    _place.mkdir()
    (_place / "way").symlink_to(_outside)
    name = "t" if data and data[0] & 1 else ""
    try:
        for stream in _split(data[1:]):
            _copy(stream, name)
        _check()
    finally:
        for directory, names, _ in os.walk(_place):
            for path in (os.path.join(directory, name) for name in names):
                if not os.path.islink(path):
                    os.chmod(path, 0o700)
        shutil.rmtree(_place)


def _split(data: bytes) -> list[bytes]:
    streams = [bytearray()]
    for at in range(0, len(data), BLOCK):
        block = data[at : at + BLOCK]
        if block.startswith(_NEXT):
            streams.append(bytearray())
        else:
            streams[-1] += mended(block)
    return [bytes(stream) for stream in streams[:3]]


def _copy(stream: bytes, name: str) -> None:
    pieces = [stream[at : at + 700] for at in range(0, len(stream), 700)]
    complaints = Complaints()
    try:
        unpack_tree(pieces, lambda _: (str(_place), name), complaints)
    except Error as exc:
        assert exc.code in _CODES
    assert len(complaints.first) <= complaints.count


def _check() -> None:
    assert os.listdir(_outside) == ["secret"]
    assert (_outside / "secret").read_text() == "mine"
    assert sorted(os.listdir(_directory)) == ["outside", "place"]
    for directory, _, files in os.walk(_place):
        for file in files:
            info = os.lstat(os.path.join(directory, file))
            assert not file.startswith(".banger-")
            assert info.st_mode & 0o6000 == 0
            assert info.st_size < _PLACE_BYTES
