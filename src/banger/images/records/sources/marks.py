"""Whether a tar stream is the archive of an image: tells from the names at its top, while the stream passes by."""

from __future__ import annotations

import re

from banger.images.records.sources.archive import MAX_MEMBERS
from banger.images.records.sources.docker_archive import MANIFEST_FILE
from banger.images.records.sources.documents import INDEX_FILE, LAYOUT_FILE
from banger.images.records.sources.forms import BLOCK, is_tar_header

_MARKS = frozenset({MANIFEST_FILE, INDEX_FILE, LAYOUT_FILE})
_MOST_ATTRIBUTES = 64 * 1024
_PAX_SIZE = re.compile(rb"[0-9]+ size=([0-9]{1,19})\n")


class Marks:
    """Gets a whole tar stream in pieces of any length. `first` are its first bytes. A stream with more members than
    archives of images may have is none: no further names are read."""

    def __init__(self) -> None:
        self.first = b""
        self._found: set[str] = set()
        self._block = bytearray()
        self._skip = 0
        self._attributes: bytearray | None = None
        self._size: int | None = None
        self._left = MAX_MEMBERS

    @property
    def may_be_image(self) -> bool:
        return MANIFEST_FILE in self._found or {INDEX_FILE, LAYOUT_FILE} <= self._found

    def feed(self, chunk: bytes | memoryview) -> None:
        view = memoryview(chunk)
        if len(self.first) < 8 * BLOCK:
            self.first += bytes(view[: 8 * BLOCK - len(self.first)])
        while len(view) and self._left > 0:
            if self._skip and self._attributes is None:
                step = min(self._skip, len(view))
                self._skip -= step
                view = view[step:]
                continue
            step = min(BLOCK - len(self._block), len(view))
            self._block += view[:step]
            view = view[step:]
            if len(self._block) == BLOCK:
                self._take(bytes(self._block))
                self._block.clear()

    def _take(self, block: bytes) -> None:
        if self._attributes is not None:
            self._attributes += block
            self._skip -= BLOCK
            if self._skip <= 0:
                self._read_attributes()
            return
        if not any(block):
            return
        if not is_tar_header(block):
            self._left = 0
            return
        self._left -= 1
        kind, size = block[156:157], _size_of(block[124:136])
        if kind == b"x" and 0 < size <= _MOST_ATTRIBUTES:
            self._attributes = bytearray()
        elif kind not in b"xgLK":
            size, self._size = (size if self._size is None else self._size), None
            name = block[:100].rstrip(b"\0").removeprefix(b"./").decode("latin-1")
            if name in _MARKS and kind in b"0\0":
                self._found.add(name)
        self._skip = -(-size // BLOCK) * BLOCK if kind not in b"123456" or kind == b"" else 0

    def _read_attributes(self) -> None:
        match = _PAX_SIZE.search(self._attributes or b"")
        self._size = int(match[1]) if match else None
        self._attributes, self._skip = None, 0


def _size_of(field: bytes) -> int:
    """A size in octal digits, or in base 256."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        return 0
