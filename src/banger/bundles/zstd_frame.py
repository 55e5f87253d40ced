"""A zstd frame, inflated block by block, so that no input can take more memory than a block.

The library's own objects either inflate a piece of input as a whole, to thirty thousand times its size perhaps, or
cannot tell a truncated frame from a complete one. The headers of the blocks (RFC 8878, 3.1.1.2) tell how many bytes to
pass to the library at a time: each block inflates to 128 KiB at most.
"""

from __future__ import annotations

from collections.abc import Iterator

import zstandard

from banger.bundles.members import invalid
from banger.bundles.piece_reader import PieceReader
from banger.model.sizes import KIB, MIB

_MAGIC = b"\x28\xb5\x2f\xfd"
_START_BYTES = 5  # magic and descriptor: they tell the length of the header
_WINDOW_MAX_BYTES = 8 * MIB  # every decoder should have this much; `zstd --ultra` and `--long` need more
_BLOCK_MAX_BYTES = 128 * KIB
_RUN_LENGTH = 1  # the kind of block whose size is its inflated size
_CHECKSUM_BYTES = 4


def inflate(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The contents of the frame, at most 128 KiB at a time. Raises `bundle_invalid` if the input is no zstd frame, is
    damaged or truncated, or does not end with the frame."""
    source = PieceReader(pieces)
    try:
        yield from _inflate(source)
    except zstandard.ZstdError as exc:
        raise invalid(f"the bundle cannot be inflated: {exc}") from exc
    if not source.at_end():
        raise invalid("something follows the end of the bundle")


def _inflate(source: PieceReader) -> Iterator[bytes]:
    header = _take_frame_header(source)
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX_BYTES)
    frame = decompressor.decompressobj(write_size=_BLOCK_MAX_BYTES)
    yield frame.decompress(header)
    last = False
    while not last:
        block_header = source.take(3)
        fields = int.from_bytes(block_header, "little")
        last, kind, size = bool(fields & 1), fields >> 1 & 3, fields >> 3
        if size > _BLOCK_MAX_BYTES:
            raise invalid("the bundle cannot be inflated: a block is too large")
        yield frame.decompress(block_header + source.take(1 if kind == _RUN_LENGTH else size))
    if zstandard.get_frame_parameters(header).has_checksum:
        frame.decompress(source.take(_CHECKSUM_BYTES))


def _take_frame_header(source: PieceReader) -> bytes:
    start = source.take(_START_BYTES)
    if not start.startswith(_MAGIC):
        raise invalid("this is not a bundle: it is not compressed with zstd", "give a file that banger wrote")
    return start + source.take(zstandard.frame_header_size(start) - _START_BYTES)
