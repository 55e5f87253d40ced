"""Files with holes: where the stretches of data lie that a tar archive holds in a row.

Four forms: GNU's own header type 'S' with its map in header blocks; and PAX 0.0 (a record each for offset and
length), 0.1 (one record with all of them) and 1.0 (the map in front of the data).

Source: GNU tar manual, "Storing Sparse Files".
"""

from __future__ import annotations

from banger.tar.cursor import Cursor
from banger.tar.failure import Corrupt, TooLarge
from banger.tar.header import BLOCK, parse_number
from banger.tar.pax import Overrides, check_name, parse_decimal

Segments = tuple[tuple[int, int], ...]
"""(offset, length) of each stretch of data, ascending; empty stretches are left out."""

_SEGMENTS_MAX = 200_000
_OLD_MAP_AT, _OLD_SEGMENTS = 386, 4
_OLD_EXTENDED_AT, _OLD_REAL_SIZE_AT = 482, 483
_BLOCK_SEGMENTS, _BLOCK_EXTENDED_AT = 21, 504
_MAP_LINE_DIGITS = 20


def check_segments(numbers: list[int], size: int, stored: int) -> Segments:
    """Offsets and lengths in turn, for a file of `size` bytes of which `stored` are data. Raises `Corrupt`."""
    if len(numbers) % 2:
        raise Corrupt("its map of holes has an offset without a length")
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
    """(size, segments) of an entry of type 'S'; takes the blocks that go on with the map."""
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
    """A segment whose offset and length are empty ends the map."""
    numbers: list[int] = []
    for start in range(at, at + 24 * count, 24):
        pair = block[start : start + 24]
        if not pair.strip(b"\0 "):
            break
        numbers += parse_number(pair[:12]), parse_number(pair[12:])
    return numbers


def read_pax_map(overrides: Overrides, cursor: Cursor, stored: int) -> tuple[int, int, Segments] | None:
    """(size, bytes of data, segments), None if the records describe no sparse file; takes a map that stands in front
    of the data. A name in the records becomes the entry's."""
    records = overrides.sparse or []
    # A record without a value takes its keyword back; a map without one is of a file without data.
    values = {key: value for key, value in dict(records).items() if value or key == b"map"}
    if name := values.get(b"name"):
        overrides.path = check_name(name)
    if values.get(b"major") == b"1" and values.get(b"minor") == b"0":
        size = parse_decimal(values.get(b"realsize", b""))
        numbers, taken = _read_leading_map(cursor, stored)
        return size, stored - taken, check_segments(numbers, size, stored - taken)
    if b"map" not in values and b"numblocks" not in values:
        return None
    size = parse_decimal(values.get(b"size", values.get(b"realsize", b"")))
    if b"map" in values:
        texts = values[b"map"].split(b",") if values[b"map"] else []
    else:
        texts = [value for key, value in records if key in (b"offset", b"numbytes")]
    return size, stored, check_segments([parse_decimal(text) for text in texts], size, stored)


def _read_leading_map(cursor: Cursor, stored: int) -> tuple[list[int], int]:
    """(numbers, bytes taken): decimal lines, first how many segments there are, filled up to a whole block."""
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
