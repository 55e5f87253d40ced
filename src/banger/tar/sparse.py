"""Files with holes: the positions of the stretches of data, which a tar archive stores one after the other.

Four forms: GNU's own header type 'S' with its map in header blocks; and PAX 0.0 (a record each for offset and length),
0.1 (one record with all of them) and 1.0 (the map in front of the data).

Source: GNU tar manual, "Storing Sparse Files".
"""

from __future__ import annotations

from banger.tar.cursor import Cursor
from banger.tar.failure import Corrupt, TooLarge
from banger.tar.header import BLOCK, parse_number
from banger.tar.record_values import check_name, parse_decimal

Segments = tuple[tuple[int, int], ...]
"""(offset, length) of each stretch of data, ascending; empty stretches are left out."""

_SEGMENTS_MAX = 1 << 18
_OLD_MAP_AT, _OLD_SEGMENTS = 386, 4
_OLD_EXTENDED_AT, _OLD_REAL_SIZE_AT = 482, 483
_BLOCK_SEGMENTS, _BLOCK_EXTENDED_AT = 21, 504
_MAP_LINE_DIGITS = 20
_ODD = "its map of holes has an offset without a length"


def check_segments(numbers: list[int], size: int, stored: int) -> Segments:
    """Check offsets and lengths, which alternate, for a file of `size` bytes with `stored` bytes of data. Raises
    `Corrupt`."""
    if len(numbers) % 2:
        raise Corrupt(_ODD)
    if len(numbers) > 2 * _SEGMENTS_MAX:
        raise TooLarge(f"its map of holes has more than {_SEGMENTS_MAX} stretches")
    end = total = 0
    segments = []
    for offset, length in zip(numbers[::2], numbers[1::2], strict=True):
        if offset < end or length < 0 or offset + length > size:
            raise Corrupt("its map of holes contradicts itself")
        end = offset + length
        total += length
        if length:
            segments.append((offset, length))
    if total != stored:
        raise Corrupt(f"its map of holes names {total} bytes of data, but there are {stored}")
    return tuple(segments)


def read_old_map(header: bytes, cursor: Cursor, stored: int) -> tuple[int, Segments]:
    """(size, segments) of an entry of type 'S'. Reads the blocks that continue the map."""
    size = parse_number(header[_OLD_REAL_SIZE_AT : _OLD_REAL_SIZE_AT + 12])
    numbers = _old_numbers(header, _OLD_MAP_AT, _OLD_SEGMENTS)
    extended = header[_OLD_EXTENDED_AT]
    while extended:
        block = cursor.read(BLOCK)
        numbers += _old_numbers(block, 0, _BLOCK_SEGMENTS)
        extended = block[_BLOCK_EXTENDED_AT]
        if len(numbers) > 2 * _SEGMENTS_MAX:
            break
    return size, check_segments(numbers, size, stored)


def _old_numbers(block: bytes, at: int, count: int) -> list[int]:
    """Numbers of a map, which ends with a segment whose offset and length are empty."""
    numbers: list[int] = []
    for start in range(at, at + 24 * count, 24):
        pair = block[start : start + 24]
        if not pair.strip(b"\0 "):
            break
        numbers += parse_number(pair[:12]), parse_number(pair[12:])
    return numbers


class SparseRecords:
    """The records about holes in an extended header, by keys without "GNU.sparse.". A record without a value withdraws
    its keyword. The records must add up to a map: a reader that skips what it does not understand would read the data
    as another file's. `name` is the name of the file, if it has holes."""

    __slots__ = ("_blocks", "_listed", "_major", "_minor", "_numbers", "_real_size", "_size", "name")

    def __init__(self) -> None:
        self.name: bytes | None = None
        self._size: int | None = None
        self._real_size: int | None = None
        self._major: int | None = None
        self._minor: int | None = None
        self._blocks: int | None = None
        self._numbers: list[int] = []
        """Offsets and lengths, alternating."""
        self._listed = False

    def take(self, key: bytes, value: bytes) -> None:
        """Add a record. Raises `Corrupt`, `Refused`."""
        if key == b"map":  # the last one counts; one without a value means a file without data
            self._numbers = [parse_decimal(text) for text in value.split(b",")] if value else []
            self._listed = True
            if len(self._numbers) % 2:
                raise Corrupt(_ODD)
        elif key in (b"offset", b"numbytes"):
            if self._listed or len(self._numbers) % 2 != (key == b"numbytes"):
                raise Corrupt("its map of holes has a record in the wrong place")
            self._numbers.append(parse_decimal(value))
        elif key == b"name":
            self.name = check_name(value) or None
        elif key in _SPARSE_NUMBERS:
            setattr(self, _SPARSE_NUMBERS[key], parse_decimal(value) if value else None)
        else:
            raise Corrupt(f"its map of holes has a record {key[:40]!r}, which is unknown")

    @property
    def describes_holes(self) -> bool:
        return bool(self._major or self._listed or self._blocks is not None or self._numbers)

    def read_map(self, cursor: Cursor, stored: int) -> tuple[int, int, Segments]:
        """(size, bytes of data, segments). Reads a map in front of the data. Raises `Corrupt`, `TooLarge`."""
        is_leading = self._major == 1 and self._minor == 0
        if self._major and not is_leading:
            raise Corrupt("its map of holes has a form that is unknown")
        size = self._real_size if is_leading or self._size is None else self._size
        if size is None:
            raise Corrupt("its map of holes does not say the size of the file")
        numbers, taken = _read_leading_map(cursor, stored) if is_leading else (self._numbers, 0)
        return size, stored - taken, check_segments(numbers, size, stored - taken)


_SPARSE_NUMBERS = {
    b"size": "_size",
    b"realsize": "_real_size",
    b"major": "_major",
    b"minor": "_minor",
    b"numblocks": "_blocks",
}


def _read_leading_map(cursor: Cursor, stored: int) -> tuple[list[int], int]:
    """(numbers, bytes read): decimal lines, the first with the number of segments, padded to a whole block."""
    numbers: list[int] = []
    wanted, taken, rest = 1, 0, b""
    while len(numbers) < wanted:
        taken += BLOCK
        if taken > stored:
            raise Corrupt("its map of holes does not end")
        *lines, rest = (rest + cursor.read(BLOCK)).split(b"\n")
        if len(rest) > BLOCK + _MAP_LINE_DIGITS:
            raise Corrupt("its map of holes does not end")
        numbers += [parse_decimal(line) for line in lines[: wanted - len(numbers)]]
        if wanted == 1 and numbers:
            wanted = 1 + 2 * numbers[0]
            if numbers[0] > _SEGMENTS_MAX:
                raise TooLarge(f"its map of holes has more than {_SEGMENTS_MAX} stretches")
            numbers += [parse_decimal(line) for line in lines[1:wanted]]
    return numbers[1:], taken
