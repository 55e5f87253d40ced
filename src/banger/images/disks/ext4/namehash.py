"""The hash by which an indexed directory is sorted: half of MD4, over a name and the file system's seed.

Python does arithmetic on integers of any length, so a thousand names are hashed at once: each 32-bit value of the
algorithm becomes one long integer with a lane of 64 bits a name. Sums fit into a lane and are masked afterwards.

Source: kernel Documentation/filesystems/ext4/directory.rst, "Hash Tree Directories"; RFC 1320 (MD4): F and G with
their constants, 8 of the 16 words, 24 of the 48 steps.
"""

from __future__ import annotations

import struct
from array import array
from collections import defaultdict
from collections.abc import Sequence

_CHUNK = 32
_WORDS = 8
_LANE_BYTES = 8
_LANES_MAX = 1024
_EOF = 0xFFFFFFFE
_K2, _K3 = 0x5A827999, 0x6ED9EBA1
# (order of the words, rotations) of the three rounds.
_ROUNDS = (
    ((0, 1, 2, 3, 4, 5, 6, 7), (3, 7, 11, 19)),
    ((1, 3, 5, 7, 0, 2, 4, 6), (3, 5, 9, 13)),
    ((3, 7, 2, 6, 1, 5, 0, 4), (3, 9, 11, 15)),
)


def hash_names(names: Sequence[bytes], seed: bytes) -> list[int]:
    """`major << 32 | minor` of each name. `seed` is 16 bytes; the lowest bit of a major hash is always 0."""
    start = struct.unpack("<4I", seed)
    if not any(start):
        start = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
    by_chunks: defaultdict[int, list[int]] = defaultdict(list)
    for position, name in enumerate(names):
        by_chunks[max(1, -(-len(name) // _CHUNK))].append(position)
    result = [0] * len(names)
    for chunks, positions in by_chunks.items():
        for at in range(0, len(positions), _LANES_MAX):
            batch = positions[at : at + _LANES_MAX]
            for position, value in zip(
                batch, _hash_batch([names[p] for p in batch], chunks, start), strict=True
            ):
                result[position] = value
    return result


def _hash_batch(names: list[bytes], chunks: int, start: tuple[int, ...]) -> list[int]:
    """The hashes of names that all have `chunks` chunks."""
    ones = int.from_bytes((1).to_bytes(_LANE_BYTES, "little") * len(names), "little")
    state = [value * ones for value in start]
    for chunk in range(chunks):
        padded = b"".join([_pad(name[chunk * _CHUNK :]) for name in names])
        state = _transform(state, _lanes(padded), ones)
    majors, minors = (_values(state[i], len(names)) for i in (1, 2))
    return [_major(major) << 32 | minor for major, minor in zip(majors, minors, strict=True)]


def _pad(rest: bytes) -> bytes:
    """The next 32 bytes of a name as eight big-endian words. Missing bytes are filled with the length of `rest`; in the
    name's last word, which may be incomplete, they come first."""
    length = len(rest)
    if length >= _CHUNK:
        return rest[:_CHUNK]
    whole = length & ~3
    fill = bytes((length,)) * (_CHUNK - length)
    if whole == length:
        return rest + fill
    lead = 4 - (length & 3)
    return rest[:whole] + fill[:lead] + rest[whole:] + fill[lead:]


def _lanes(padded: bytes) -> list[int]:
    """Eight long integers: the first words of all names, the second words, ..."""
    words = struct.unpack(f">{len(padded) // 4}I", padded)
    return [_long(words[i::_WORDS]) for i in range(_WORDS)]


def _long(values: Sequence[int]) -> int:
    return int.from_bytes(struct.pack(f"<{len(values)}Q", *values), "little")


def _values(lanes: int, count: int) -> array[int]:
    values = array("Q")
    values.frombytes(lanes.to_bytes(count * _LANE_BYTES, "little"))
    return values


def _transform(state: list[int], words: list[int], ones: int) -> list[int]:
    """Apply one chunk of all names."""
    mask = ones * 0xFFFFFFFF
    a, b, c, d = state
    for number, (order, rotations) in enumerate(_ROUNDS):
        constant = (0, _K2, _K3)[number] * ones
        for step, word in enumerate(order):
            if number == 0:
                mixed = d ^ (b & (c ^ d))
            elif number == 1:
                mixed = (b & c) + ((b ^ c) & d)
            else:
                mixed = b ^ c ^ d
            total = (a + mixed + words[word] + constant) & mask
            left = rotations[step & 3]
            turned = (total << left | total >> (32 - left)) & mask
            a, b, c, d = d, turned, b, c
    return [(old + new) & mask for old, new in zip(state, (a, b, c, d), strict=True)]


def _major(value: int) -> int:
    """The major hash: even, and never the value that means the end of a directory."""
    value &= 0xFFFFFFFE
    return value if value != _EOF else _EOF - 2
